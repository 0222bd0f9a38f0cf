//! Help, manual pages and completions.

use super::run;
use crate::support::Sandbox;

/// The commands that `cargo kernel help` lists.
fn commands(sandbox: &Sandbox) -> Vec<String> {
    let help = run(sandbox, &["help"]).stdout;
    let list = help.split_once("Commands:\n").unwrap().1;
    let lines = list.lines().take_while(|line| !line.is_empty());
    let commands: Vec<_> = lines
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect();
    assert!(commands.len() > 10, "{help}");
    commands
}

#[test]
fn every_command_has_help() {
    let sandbox = Sandbox::new();
    for command in commands(&sandbox) {
        for args in [
            vec!["help", &command],
            vec![&command, "--help"],
            vec![&command, "-h"],
        ] {
            if command == "help" && args.len() == 2 && args[1] != "help" {
                continue;
            }
            let said = run(&sandbox, &args);
            assert_eq!(said.code, 0, "{args:?}: {}", said.stderr);
            assert!(
                said.stdout.contains("Usage: cargo kernel"),
                "{args:?}: {}",
                said.stdout
            );
            let wide = said.stdout.lines().find(|line| line.chars().count() > 100);
            assert_eq!(wide, None, "{args:?}");
        }
    }
    let version = run(&sandbox, &["--version"]);
    assert_eq!(
        version.stdout,
        concat!("cargo kernel ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn every_command_has_a_manual_page() {
    let sandbox = Sandbox::new();
    let said = run(&sandbox, &["man", "../man"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for command in commands(&sandbox)
        .iter()
        .filter(|command| *command != "help")
    {
        let page = std::fs::read_to_string(sandbox.path(&format!("man/cargo-kernel-{command}.1")))
            .unwrap();
        assert!(
            page.contains(&format!("cargo kernel {command}").replace('-', "\\-")),
            "{page}"
        );
    }
    let page = std::fs::read_to_string(sandbox.path("man/cargo-kernel.1")).unwrap();
    assert!(
        page.starts_with(".ie") && page.contains(".TH CARGO-KERNEL 1"),
        "{page}"
    );
}

#[test]
fn every_shell_completes() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let said = run(&sandbox, &["completions", shell]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(
            said.stdout.contains("cargo-kernel") && said.stdout.contains("identity"),
            "{shell}"
        );
    }
    assert_eq!(run(&sandbox, &["completions", "csh"]).code, 2);
}
