use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use serde_json::Value;

use super::build::installed;
use super::{run, run_json, tiny};
use crate::support::{Sandbox, StandIn};

/// A kernel that warns, one that fails, and one that is not built; both say what a browser
/// must not take for its own.
fn built() -> (Sandbox, [StandIn; 2]) {
    let sandbox = Sandbox::with_kernels(
        "[workspace.metadata.kernel.kernels.good]\nsource = \"../good\"\npreset = \"tiny\"\n\
         [workspace.metadata.kernel.kernels.bad]\nsource = \"../bad\"\npreset = \"tiny\"\n\
         [workspace.metadata.kernel.kernels.later]\nsource = \"../good\"\npreset = \"tiny\"\nlabel = \"later\"\n",
    );
    let add = |line: &'static str| move |text: &str| format!("{text}\n{line}\n");
    let good = StandIn::new(&sandbox, "good").edit("init/main.c", add("#warning <b>watch out</b>"));
    let bad =
        StandIn::new(&sandbox, "bad").edit("lib/string.c", add("#error <script>alert(1)</script>"));
    run_json(&sandbox, &["build", "good"], 0);
    run_json(&sandbox, &["build", "bad"], 101);
    (sandbox, [good, bad])
}

fn kernel<'a>(report: &'a Value, name: &str) -> &'a Value {
    let kernels = report["kernels"].as_array().unwrap();
    kernels
        .iter()
        .find(|kernel| kernel["name"] == name)
        .unwrap()
}

#[test]
fn what_builds_came_to_is_told_in_every_form() {
    let (sandbox, _trees) = built();
    let said = run_json(&sandbox, &["report"], 0).message("report");
    let report = &said["report"];
    let good = kernel(report, "good");
    assert_eq!(good["status"], "passed");
    assert!(good["image_bytes"].as_u64().unwrap() > 0);
    assert_eq!(good["warnings"]["count"], 1, "{good}");
    let warning = &good["warnings"]["top"][0];
    assert_eq!(warning["file"], "init/main.c");
    assert!(
        warning["message"]
            .as_str()
            .unwrap()
            .contains("<b>watch out</b>"),
        "{warning}"
    );
    let phases: Vec<_> = good["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| &phase["name"])
        .collect();
    assert_eq!(phases, ["configure", "compile", "install", "devtools"]);
    let bad = kernel(report, "bad");
    assert_eq!(
        (&bad["status"], &bad["error"]["phase"]),
        (&"failed".into(), &"compile".into())
    );
    let message = bad["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("lib/string.c:") && message.contains("#error <script>alert(1)</script>"),
        "{message}"
    );
    assert_eq!(kernel(report, "later")["status"], "skipped");

    let files = said["files"].as_array().unwrap();
    let read = |file: &Value| std::fs::read_to_string(file.as_str().unwrap()).unwrap();
    let [html, json, junit] = [0, 1, 2].map(|index| read(&files[index]));
    assert!(!html.contains("<script>alert") && !html.contains("<b>watch"));
    assert!(html.contains("#error &lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(
        html.contains("/log/") && html.contains("compile.log\""),
        "logs are linked"
    );
    assert!(!html.contains("http:") && !html.contains("https:") && !html.contains("url("));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), *report);
    assert!(
        junit.contains(" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""),
        "{junit}"
    );

    let text = run(&sandbox, &["report"]).stdout;
    assert!(text.contains("1 failed, 1 skipped, 1 passed"), "{text}");
    for (args, begin) in [
        (&["report", "good", "--format", "junit"][..], "<?xml"),
        (&["report", "good", "--format", "html"], "<!DOCTYPE html>"),
        (&["report", "good", "--format", "json"], "{"),
        (&["report", "good", "--format", "text"], " "),
        (&["report", "good", "--format", "eml"], "Date: "),
    ] {
        let said = run(&sandbox, args);
        assert!(
            said.code == 0 && said.stdout.starts_with(begin),
            "{args:?}: {}{}",
            said.stdout,
            said.stderr
        );
    }
    assert_eq!(run(&sandbox, &["report", "--out", "mine.xml"]).code, 0);
    assert_eq!(run(&sandbox, &["report", "--out", "mine.odd"]).code, 2);
    assert_eq!(
        std::fs::read_to_string(sandbox.path("project/mine.xml")).unwrap(),
        junit
    );

    // A batch is what its directory says; it is the first choice, and has a name.
    let batch = json.replace("\"good\"", "\"of-a-batch\"");
    sandbox.write("project/target/kernel/batches/one/report.json", &batch);
    for args in [&["report"][..], &["report", "--batch", "one"]] {
        let said = run_json(&sandbox, args, 0).message("report");
        kernel(&said["report"], "of-a-batch");
    }
    let said = run(&sandbox, &["report", "--batch", "none"]);
    assert!(
        said.code == 101 && said.stderr.contains("no batch `none`"),
        "{}",
        said.stderr
    );
}

/// A mail server for one mail: what it was told. It answers `RCPT` as it is said.
fn server(recipient: &'static str) -> (u16, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut told = Vec::new();
        let mut data = false;
        stream.write_all(b"220 here\r\n").unwrap();
        while let Some(Ok(line)) = lines.next() {
            let answer = match line.split([' ', ':']).next().unwrap() {
                "." => {
                    data = false;
                    "250 taken"
                }
                _ if data => "",
                "EHLO" => "250-here\r\n250 8BITMIME",
                "RCPT" => recipient,
                "DATA" => {
                    data = true;
                    "354 go on"
                }
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            told.push(line);
            if !answer.is_empty() {
                stream
                    .write_all(format!("{answer}\r\n").as_bytes())
                    .unwrap();
            }
        }
        told
    });
    (port, thread)
}

#[test]
fn a_mail_is_sent_and_kept_where_it_cannot_be() {
    let sandbox = Sandbox::with_kernels(
        "[workspace.metadata.kernel]\nmail = { to = [\"list@example.org\"], from = \"ci@example.org\" }\n\
         [workspace.metadata.kernel.kernels.tiny]\nsource = \"../tree\"\npreset = \"tiny\"\n",
    );
    let kept = sandbox.path("project/target/kernel-report/report.eml");
    let mail = |server: u16, more: &[&str]| {
        let server = format!("127.0.0.1:{server}");
        let args = [&["report", "--mail-server", &server][..], more].concat();
        run(&sandbox, &args)
    };
    let (port, told) = server("250 ok");
    let said = mail(
        port,
        &["--mail", "a@example.org", "--mail", "b@example.org"],
    );
    assert_eq!(said.code, 0, "{}", said.stderr);
    let told = told.join().unwrap();
    let of = |word: &str| {
        told.iter()
            .filter(|line| line.starts_with(word))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(of("MAIL"), ["MAIL FROM:<ci@example.org>"]);
    assert_eq!(
        of("RCPT"),
        ["RCPT TO:<a@example.org>", "RCPT TO:<b@example.org>"]
    );
    let eml = std::fs::read_to_string(&kept).unwrap();
    let data = told
        .iter()
        .skip_while(|line| *line != "DATA")
        .skip(1)
        .take_while(|line| *line != ".");
    assert_eq!(
        data.map(|line| format!("{line}\r\n")).collect::<String>(),
        eml
    );
    assert!(
        eml.contains("\r\nSubject: Kernel tiny: 1 skipped\r\n"),
        "{eml}"
    );

    std::fs::remove_file(&kept).unwrap();
    let (port, told) = server("550 nobody of that name");
    let said = mail(port, &["--mail"]);
    assert!(
        said.code == 101 && said.stderr.contains("550 nobody of that name"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("report.eml") && kept.exists(),
        "{}",
        said.stderr
    );
    told.join().unwrap();

    // A port that was free a moment ago: nobody listens.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let said = mail(port, &["--mail"]);
    assert!(
        said.code == 101 && said.stderr.contains("does not answer"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("the mail is kept in"),
        "{}",
        said.stderr
    );

    sandbox.tool("sendmail", "echo \"$@\" >$HOME/options\ncat >$HOME/mail");
    let said = run(&sandbox, &["report", "--mail"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let read = |name: &str| std::fs::read_to_string(sandbox.path("home").join(name)).unwrap();
    assert_eq!(read("options"), "-t -i\n");
    assert_eq!(
        read("mail"),
        std::fs::read_to_string(&kept).unwrap().replace('\r', "")
    );
    sandbox.tool("sendmail", "echo queue is full >&2; exit 75");
    let said = run(&sandbox, &["report", "--mail"]);
    assert!(
        said.code == 101 && said.stderr.contains("queue is full"),
        "{}",
        said.stderr
    );
    assert_eq!(run(&sandbox, &["report", "--mail", "nobody"]).code, 2);
}

#[test]
fn timings_tell_what_took_how_long_and_change_no_byte() {
    let (sandbox, _tree) = tiny("");
    let state = sandbox.path("project/target/kernel/tiny");
    let said = run(&sandbox, &["build", "--timings"]);
    assert!(
        said.code == 0 && said.stderr.contains("Timings"),
        "{}",
        said.stderr
    );
    let timed = installed(&state);
    let read = |name: &str| std::fs::read_to_string(state.join("log/latest").join(name)).unwrap();
    let timings: Value = serde_json::from_str(&read("timings.json")).unwrap();
    let units = timings["units"].as_array().unwrap();
    let named = |verb: &str, target: &str| {
        let is = |unit: &&Value| unit["verb"] == verb && unit["target"] == target;
        units
            .iter()
            .find(is)
            .unwrap_or_else(|| panic!("{verb} {target} in {units:?}"))
    };
    let unit = named("CC", "init/main.o");
    assert!(unit["seconds"].as_f64().unwrap() > 0.0 && unit["memory_bytes"].as_u64().unwrap() > 0);
    named("CC", "lib/string.o");
    assert!(read("timings.html").contains("init/main.o"));

    let said = run(&sandbox, &["build", "--timings"]);
    assert!(
        said.stderr.contains("was not compiled here"),
        "{}",
        said.stderr
    );
    run_json(&sandbox, &["clean"], 0);
    run_json(&sandbox, &["build", "--no-reuse"], 0);
    assert!(timed == installed(&state), "the bytes differ");
}
