//! Compilers by name, and the rules that choose one.

use super::*;
use crate::fragment::{self, Fragment};
use crate::merge::{Merged, merge};

/// A workspace with `rules` and kernels of 6.1 and 6.12 for two architectures.
fn ruled(rules: &str) -> String {
    format!(
        "\
[workspace.metadata.kernel]
toolchains = [
{rules}
]
[workspace.metadata.kernel.matrix.t]
preset = \"tiny\"
axes = {{ version = [\"6.1\", \"6.12.117\"], arch = [\"x86_64\", \"arm64\"] }}
"
    )
}

fn asks_for(symbols: &str) -> Merged {
    let text: String = symbols
        .split_whitespace()
        .map(|symbol| format!("CONFIG_{symbol}=y\n"))
        .collect();
    let name = "test/a".parse().unwrap();
    merge([&Fragment::parse(name, fragment::Origin::Embedded, text)])
}

#[test]
fn the_first_rule_that_matches_chooses_and_is_named() {
    let text = ruled(
        "  { when = \"<6.6\", arch = \"arm64\", use = \"gcc-11\" },
  { config = \"RUST\", use = \"clang-19\" },
  { use = \"gcc\" },",
    );
    let spec = parse_text(&text, &Overrides::default()).unwrap();
    let chosen = |kernel: &str, version: &str, symbols: &str| {
        let kernel = spec
            .kernels
            .iter()
            .find(|known| known.name.as_str() == kernel)
            .unwrap();
        let version = version.parse().unwrap();
        let merged = asks_for(symbols);
        let rule = choose(&kernel.rules, &version, kernel.arch.value, &merged).unwrap();
        format!("{} {}", rule.origin, rule.value)
    };
    assert_eq!(
        chosen("t-6.1-arm64", "6.1.150", "RUST"),
        "Cargo.toml:3:3 <6.6, arm64: gcc-11"
    );
    assert_eq!(
        chosen("t-6.12.117-arm64", "6.12.117", "NET RUST"),
        "Cargo.toml:4:3 CONFIG_RUST: clang-19"
    );
    assert_eq!(
        chosen("t-6.1-x86_64", "6.1.150", "NET"),
        "Cargo.toml:5:3 any kernel: gcc"
    );
}

#[test]
fn a_kernels_own_compiler_wins_over_rules_and_that_of_the_defaults_comes_last() {
    let text = "\
[workspace.metadata.kernel]
toolchains = [{ arch = \"arm64\", use = \"gcc-11\" }]
[workspace.metadata.kernel.defaults]
version = \"6.12\"
preset = \"tiny\"
compiler = \"clang\"
[workspace.metadata.kernel.flavours.own]
compiler = \"gcc-12\"
[workspace.metadata.kernel.kernels.a]
arch = \"arm64\"
[workspace.metadata.kernel.kernels.b]
compiler = \"clang-19\"
[workspace.metadata.kernel.kernels.c]
flavour = \"own\"
";
    let of = |overrides: &Overrides| -> Vec<String> {
        let spec = parse_text(text, overrides).unwrap();
        let describe = |kernel: &KernelSpec| {
            let rules: Vec<String> = kernel.rules.iter().map(|r| r.value.to_string()).collect();
            format!("{} {}", kernel.compiler.value, rules.join(", "))
        };
        spec.kernels.iter().map(describe).collect()
    };
    assert_eq!(
        of(&Overrides::default()),
        [
            "clang arm64: gcc-11, any kernel: clang",
            "clang-19 ",
            "gcc-12 "
        ]
    );
    let flag = Overrides {
        compiler: Some("gcc-11".to_owned()),
        ..Overrides::default()
    };
    assert_eq!(of(&flag), ["gcc-11 ", "gcc-11 ", "gcc-11 "]);
}

#[test]
fn a_rule_that_matches_no_kernel_is_wrong() {
    // Not of that version, hidden by an earlier one, of another architecture.
    assert_snapshot!(wrong(&ruled("  { when = \">=4.2, <4.19\", use = \"gcc-7\" },\n  { use = \"gcc\" },")), @r#"
    Cargo.toml:3:3: the toolchain rule `>=4.2, <4.19: gcc-7` matches no kernel of this workspace
      hint: remove it, or widen `when` and `arch` to kernels that are declared
    "#);
    assert_snapshot!(wrong(&ruled("  { when = \">=6\", use = \"gcc\" },\n  { arch = [\"arm64\"], use = \"clang\" },")), @r#"
    Cargo.toml:4:3: the toolchain rule `arm64: clang` matches no kernel of this workspace
      hint: the first rule that matches wins: put it before those that are for its kernels, too
    "#);
    assert_snapshot!(wrong(&ruled("  { use = \"gcc\" },\n  { use = \"clang\" },")), @r#"
    Cargo.toml:4:3: the toolchain rule `any kernel: clang` matches no kernel of this workspace
      hint: the first rule that matches wins: put it before those that are for its kernels, too
    "#);
    assert_snapshot!(wrong(&ruled("  { arch = \"riscv64\", use = \"gcc\" },\n  { use = \"gcc\" },")), @r#"
    Cargo.toml:3:3: the toolchain rule `riscv64: gcc` matches no kernel of this workspace
      hint: remove it, or widen `when` and `arch` to kernels that are declared
    "#);
    // Part of a series, and what only the tree will tell, may match.
    for rule in [
        "{ when = \">=6.1.5, <6.1.9\", use = \"gcc-11\" }",
        "{ config = \"RUST\", use = \"clang\" }",
    ] {
        parse_text(
            &ruled(&format!("  {rule},\n  {{ use = \"gcc\" }},")),
            &Overrides::default(),
        )
        .unwrap();
    }
}

#[test]
fn rules_and_compilers_say_what_is_wrong_with_them() {
    assert_snapshot!(wrong(&ruled("  { when = \"new\", use = \"gcc\" }")), @r#"
    Cargo.toml:3:12: `new` in `new` compares with no kernel version
      hint: ranges look like `>=4.2, <4.19`, `6.12.y`, `6.12.117` or `*`
    "#);
    assert_snapshot!(wrong(&ruled("  { when = \">=6\" }")), @r#"
    Cargo.toml:3:3: a rule in `toolchains` needs a `use`
      hint: write it like `{ when = ">=4.2, <4.19", use = "gcc-7" }`
    "#);
    assert_snapshot!(wrong(&ruled("  { use = \"gc\" }")), @r#"
    Cargo.toml:3:11: unknown compiler `gc`
      hint: did you mean `gcc`?
    "#);
    assert_snapshot!(wrong(&ruled("  { config = \"A-B\", use = \"gcc\" }")), @r#"
    Cargo.toml:3:14: `A-B` is not a symbol of a configuration
      hint: write its name, such as `RUST`
    "#);
    assert_snapshot!(wrong_kernel("compiler = \"icc\""), @r#"
    Cargo.toml:4:12: unknown compiler `icc`
      hint: did you mean `gcc`?
    "#);
    assert_snapshot!(wrong("[workspace.metadata.kernel.compilers.old]\npath = \"/opt\"\n"), @r#"
    Cargo.toml:1:38: the compiler `old` has no `family`
      hint: set `family = "gcc"` or `family = "clang"`
    "#);
    assert_snapshot!(wrong("[workspace.metadata.kernel.compilers.new]\nfamily = \"clang\"\nprefix = \"a-\"\n"), @r#"
    Cargo.toml:1:38: the compiler `new` has a `prefix`
      hint: LLVM's programs have none: use `suffix` and `path`
    "#);
    assert_snapshot!(wrong("[workspace.metadata.kernel.compilers.a]\nfamily = \"gcc\"\nprefix = \"a b\"\n"), @r#"
    Cargo.toml:3:10: `a b` cannot be part of a program's name
      hint: use letters, digits, `-`, `_`, `.` and `+`; a directory belongs into `path`
    "#);
}

#[test]
fn a_declared_compiler_is_what_its_table_says() {
    let text = "\
[workspace.metadata.kernel.compilers.gcc-7]
path = \"tools/gcc-7\"
[workspace.metadata.kernel.compilers.vendor]
family = \"gcc\"
prefix = \"aarch64-none-linux-gnu-\"
suffix = \"-9.2\"
[workspace.metadata.kernel.defaults]
version = \"6.12\"
preset = \"tiny\"
[workspace.metadata.kernel.kernels.a]
compiler = \"gcc-7\"
[workspace.metadata.kernel.kernels.b]
compiler = \"vendor\"
[workspace.metadata.kernel.kernels.c]
compiler = \"clang-19\"
";
    let spec = parse_text(text, &Overrides::default()).unwrap();
    let of = |index: usize| {
        let NamedCompiler {
            family,
            prefix,
            suffix,
            path,
            ..
        } = &spec.kernels[index].compiler.value;
        format!("{family} {prefix:?} {suffix:?} {path:?}")
    };
    assert_eq!(of(0), "gcc None \"\" Some(\"/ws/tools/gcc-7\")");
    assert_eq!(of(1), "gcc Some(\"aarch64-none-linux-gnu-\") \"-9.2\" None");
    assert_eq!(of(2), "clang None \"-19\" None");
}

#[test]
fn an_allnoconfig_base_of_the_defaults_is_for_those_it_concerns() {
    let text = "\
[workspace.metadata.kernel.defaults]
allnoconfig-base = false
version = \"6.12\"
[workspace.metadata.kernel.flavours.kvm]
fragments = [\"virt/guest\"]
[workspace.metadata.kernel.kernels.a]
preset = \"tiny\"
flavour = \"kvm\"
[workspace.metadata.kernel.kernels.b]
flavour = \"kvm\"
";
    let spec = parse_text(text, &Overrides::default()).unwrap();
    assert_eq!(
        spec.kernels[1].base.value,
        ConfigBase::Fragments { allnoconfig: false }
    );
    // Said of the kernel itself, or of its flavour, it is wrong.
    for place in ["fragments = [\"virt/guest\"]", "flavour = \"kvm\"\n"] {
        let text = text.replacen(place, &format!("{place}\nallnoconfig-base = false\n"), 1);
        let error = wrong(&text);
        assert!(
            error.contains("`allnoconfig-base` has no effect on kernel `a`"),
            "{error}"
        );
    }
}
