use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::source::mailbox::{self, Series};
use kernelkit::effect::source::{Error, MailboxError, PatchError, worktree};
use kernelkit::source::Source;

use crate::world::{World, chmod, commit_all, directory, git, write};

/// A repository with one commit, `base`, and two mails on top of it, with a cover letter.
fn mailed(world: &World) -> (Utf8PathBuf, String) {
    let dir = world.kernel("repository");
    commit_all(&dir);
    git(&dir, &["tag", "base"]);
    for (number, text) in ["int fork(void);\n", "int fork(void); /* ü */\n"]
        .iter()
        .enumerate()
    {
        write(&dir, "kernel/fork.c", text);
        let subject = format!("kernel: step {}", number + 1);
        git(&dir, &["commit", "--quiet", "--all", "--message", &subject]);
    }
    let arguments = [
        "format-patch",
        "--stdout",
        "--cover-letter",
        "-v3",
        "--thread",
        "-2",
    ];
    let text = git(&dir, &arguments)
        .replace("*** SUBJECT HERE ***", "kernel: faster")
        .replace("*** BLURB HERE ***", "words");
    git(&dir, &["reset", "--quiet", "--hard", "base"]);
    (dir, text + "\n")
}

fn read(world: &World, name: &str) -> Result<Series, Error> {
    mailbox::read(name, &world.root, false, &world.context(), &mut |_| {})
}

#[test]
fn what_nobody_mails_is_refused_before_it_is_read() {
    let world = World::new();
    let maildir = world.root.join("maildir/new");
    fs::create_dir_all(&maildir).unwrap();
    for number in 0..10_001 {
        fs::write(maildir.join(number.to_string()), "").unwrap();
    }
    let large = fs::File::create(world.root.join("large")).unwrap();
    large.set_len((256 << 20) + 1).unwrap();
    std::os::unix::fs::symlink("/dev/zero", world.root.join("zero")).unwrap();
    for (name, expected) in [
        ("maildir/new", "the number of mails exceeds 10000"),
        ("large", "the size of the mailbox exceeds 256 MiB"),
        ("zero", "cannot read"),
    ] {
        let error = read(&world, name).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
    // One mail less is looked at, and holds nothing.
    for file in ["10000", "9999", "9998"] {
        fs::remove_file(maildir.join(file)).unwrap();
    }
    fs::remove_file(world.root.join("large")).unwrap();
}

fn mails(text: &str) -> Vec<String> {
    text.split("From ")
        .filter(|mail| mail.contains("\nSubject:"))
        .map(|mail| format!("From {mail}"))
        .collect()
}

#[test]
fn a_mailbox_and_a_maildir_are_taken_apart_alike() {
    let world = World::new();
    let (dir, text) = mailed(&world);
    write(&world.root, "fast.mbox", &text);
    let series = read(&world, "fast.mbox").unwrap();
    assert_eq!(
        (
            series.subject.as_str(),
            series.revision,
            series.slug.as_str()
        ),
        ("kernel: faster", 3, "fast")
    );
    assert_eq!(series.message_ids.len(), 2);
    assert!(series.message_ids.iter().all(|id| id.contains('@')));
    let tree = world
        .watch_entries(&directory(&dir), &series.patches)
        .0
        .unwrap();
    assert_eq!(
        fs::read_to_string(tree.dir.join("kernel/fork.c")).unwrap(),
        "int fork(void); /* ü */\n"
    );
    // A maildir in any order, with an answer that quotes a patch.
    let mails = mails(&text);
    let answer = "From x\nFrom: you\nSubject: Re: [PATCH v3 1/2] kernel: step 1\n\n> diff --git a/x b/x\nno\n";
    for (name, mail) in ["c", "b", "a", "d"]
        .iter()
        .zip(mails.iter().map(String::as_str).chain([answer]))
    {
        let body = mail.split_once('\n').unwrap().1;
        write(&world.root, &format!("maildir/cur/{name}"), body);
        fs::create_dir_all(world.root.join("maildir/new")).unwrap();
    }
    let same = read(&world, "maildir").unwrap();
    assert_eq!(same.patches, series.patches);
    assert_eq!(same.message_ids, series.message_ids);
}

#[test]
fn what_is_not_a_whole_series_is_refused() {
    let world = World::new();
    let (dir, text) = mailed(&world);
    let mails = mails(&text);
    let check = |text: &str, expected: &str| {
        write(&world.root, "x.mbox", text);
        let error = read(&world, "x.mbox").unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().is_some());
    };
    check(
        &(mails[0].clone() + &mails[2]),
        "x.mbox is incomplete: of 2 patches it lacks 1",
    );
    check(&(text.clone() + &mails[1]), "x.mbox has patch 1 twice");
    check(&mails[0], "x.mbox holds no patches");
    assert_eq!(
        read(&world, "none.mbox").unwrap_err().to_string(),
        format!("cannot read {}", world.root.join("none.mbox"))
    );
    // Cut off inside the last hunk.
    let cut = text.rfind("+int fork").unwrap();
    write(&world.root, "x.mbox", &text[..cut]);
    let series = read(&world, "x.mbox").unwrap();
    let error = world
        .watch_entries(&directory(&dir), &series.patches)
        .0
        .unwrap_err();
    assert!(
        matches!(error, Error::Patch(PatchError::Unreadable { .. })),
        "{error}"
    );
}

#[test]
fn a_series_published_another_day_has_the_same_commits() {
    let mut published = Vec::new();
    for late in [false, true] {
        let mut world = World::new();
        let (dir, text) = mailed(&world);
        write(&world.root, "fast.mbox", &text);
        if late {
            // What git takes for now, wherever it asks.
            let git = world.environment.path.split(':').map(Utf8Path::new);
            let git = git
                .map(|dir| dir.join("git"))
                .find(|git| git.is_file())
                .unwrap();
            let date = "export GIT_COMMITTER_DATE='@4102444800 +0000'";
            write(
                &world.root,
                "bin/git",
                &format!("#!/bin/sh\n{date}\nexec {git} \"$@\"\n"),
            );
            chmod(&world.root.join("bin/git"), 0o755);
            world.environment.path =
                format!("{}:{}", world.root.join("bin"), world.environment.path);
        }
        let series = read(&world, "fast.mbox").unwrap();
        let files: Vec<_> = series
            .patches
            .iter()
            .map(|patch| patch.path.as_path())
            .collect();
        let context = world.context();
        let publish = || {
            worktree::publish(
                dir.as_str(),
                "base",
                "b4/fast",
                &files,
                &context,
                &mut |_| {},
            )
        };
        let (commit, tree) = publish().unwrap();
        assert_eq!(publish().unwrap(), (commit.clone(), tree));
        let source = Source::Git {
            repository: dir.to_string(),
            reference: "base".to_owned(),
        };
        let patched = world.watch_entries(&source, &series.patches).0.unwrap();
        assert_eq!(patched.id, tree, "git am and git apply agree");
        let at = world.root.join("dev");
        let layout = worktree::Layout::default();
        worktree::lay(&at, dir.as_str(), "b4/fast", layout, &context, &mut |_| {}).unwrap();
        assert_eq!(git(&at, &["rev-parse", "HEAD"]), commit);
        assert_eq!(
            git(&at, &["log", "--format=%s %an %at %ct", "-1"]),
            "kernel: step 2 a 1000000000 1000000000"
        );
        published.push((commit, patched.id));
    }
    assert_eq!(published[0], published[1]);
}

#[test]
fn a_series_on_a_list_is_fetched_by_b4_once() {
    let mut world = World::new();
    let (_, text) = mailed(&world);
    // As b4 does it, the cover letter stands beside the mailbox.
    write(&world.root, "served", &mails(&text)[1..].concat());
    write(
        &world.root,
        "cover",
        "Subject: [PATCH v3 0/2] kernel: faster\nFrom: me <me@example.org>\n\nFrom here on, words\n",
    );
    let id = "20240101.1-1-me@example.org";
    let path = world.environment.path.clone();
    let empty = world.root.join("bin");
    fs::create_dir(&empty).unwrap();
    let hidden = path
        .split(':')
        .filter(|dir| !Utf8Path::new(dir).join("b4").exists());
    world.environment.path = hidden.collect::<Vec<_>>().join(":");
    let error = read(&world, id).unwrap_err();
    assert!(
        matches!(error, Error::Mailbox(MailboxError::NoB4 { .. })),
        "{error}"
    );
    let script = format!(
        "#!/bin/sh\n[ \"$1 $2 $4 $5 $6 $7\" = 'am --outdir --mbox-name series -- {id}' ] || exit 9\n\
         echo x >> {root}/calls\n[ -f {root}/served ] && cp {root}/served \"$3/series.mbx\" && cp {root}/cover \"$3/series.cover\"\nexit 0\n",
        root = world.root
    );
    write(&world.root, "bin/b4", &script);
    chmod(&world.root.join("bin/b4"), 0o755);
    world.environment.path = format!("{}:{path}", world.root.join("bin"));
    world.offline = true;
    let error = read(&world, id).unwrap_err();
    assert!(matches!(
        error,
        Error::Mailbox(MailboxError::Offline { .. })
    ));
    world.offline = false;
    let series = read(&world, &format!("<{id}>").replace(['<', '>'], "")).unwrap();
    assert_eq!(
        (series.slug.as_str(), series.patches.len()),
        ("20240101.1-1-me", 2)
    );
    assert_eq!(
        (series.subject.as_str(), series.revision),
        ("kernel: faster", 3)
    );
    assert_eq!(read(&world, id).unwrap(), series);
    let calls = || {
        fs::read_to_string(world.root.join("calls"))
            .unwrap()
            .lines()
            .count()
    };
    assert_eq!(calls(), 1);
    let update = || mailbox::read(id, &world.root, true, &world.context(), &mut |_| {});
    assert_eq!(update().unwrap(), series);
    assert_eq!(calls(), 2);
    // What was there stays where nothing comes.
    fs::remove_file(world.root.join("served")).unwrap();
    let error = update().unwrap_err();
    assert!(matches!(
        error,
        Error::Mailbox(MailboxError::NotFetched { .. })
    ));
    assert_eq!(read(&world, id).unwrap(), series);
    // A failure is b4's own, unless git does not know who it works for.
    write(&world.root, "bin/b4", "#!/bin/sh\nexit 1\n");
    let home = world.root.join("nobody");
    fs::create_dir(&home).unwrap();
    world.environment.home = home.clone();
    let told = |world: &World| {
        let update = mailbox::read(id, &world.root, true, &world.context(), &mut |_| {});
        let error = update.unwrap_err();
        (error.to_string(), error.hint().unwrap_or_default())
    };
    let (message, hint) = told(&world);
    assert!(
        message.ends_with("git has no user.name and user.email"),
        "{message}"
    );
    assert!(hint.contains("git config --global user.name"), "{hint}");
    write(
        &home,
        ".gitconfig",
        "[user]\nname = me\nemail = me@example.org\n",
    );
    assert_eq!(told(&world).0, "`b4` failed with exit status 1");
}
