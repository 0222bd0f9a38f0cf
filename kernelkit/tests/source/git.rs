use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use kernelkit::effect::environment::Probing;
use kernelkit::effect::source::worktree::{self, Laid, Layout};
use kernelkit::effect::source::{Error, GitError, LabelHint, Looks, Verification};
use kernelkit::source::Source;

use crate::server::GitServer;
use crate::world::{World, chmod, commit_all, directory, git, oracle, write};

fn source(repository: impl ToString, reference: &str) -> Source {
    Source::Git {
        repository: repository.to_string(),
        reference: reference.to_owned(),
    }
}

/// A repository whose commits are told apart by `which`.
fn repository(world: &World) -> Utf8PathBuf {
    let dir = world.kernel("repository");
    write(&dir, "which", "first");
    commit_all(&dir);
    git(&dir, &["tag", "v6.12.117"]);
    dir
}

fn commit(dir: &Utf8PathBuf, which: &str) -> String {
    write(dir, "which", which);
    git(dir, &["commit", "--quiet", "--all", "--message", which]);
    git(dir, &["rev-parse", "HEAD"])
}

#[test]
fn a_checkout_has_the_commits_tree() {
    let world = World::new();
    let dir = repository(&world);
    for repository in [dir.to_string(), format!("file://{dir}")] {
        let tree = world.prepare(&source(&repository, "v6.12.117")).unwrap();
        assert_eq!(tree.id, oracle(&dir, &["--force"]));
        assert_eq!(
            tree.id.to_string(),
            git(&dir, &["rev-parse", "HEAD^{tree}"])
        );
        assert_eq!(tree.id, world.prepare(&directory(&tree.dir)).unwrap().id);
        assert_eq!(
            (tree.label, tree.verification, tree.pinned),
            (LabelHint::Vanilla, Verification::Commit, true)
        );
        let commit = tree.commit.unwrap();
        assert_eq!(commit.id, git(&dir, &["rev-parse", "HEAD"]));
        // Not the committer's.
        assert_eq!(commit.author_date, 1_000_000_000);
        let again = world.prepare(&tree.resolved).unwrap();
        assert_eq!(again.id, tree.id);
        assert_eq!(again.label, LabelHint::Reference { name: commit.id });
    }
}

#[test]
fn a_reference_is_a_tag_then_a_remote_branch_then_literal() {
    let world = World::new();
    let upstream = repository(&world);
    let clone = world.root.join("clone");
    git(
        &world.root,
        &["clone", "--quiet", upstream.as_str(), clone.as_str()],
    );
    let local = commit(&clone, "local");
    git(&clone, &["branch", "only-local"]);
    git(&clone, &["branch", "both"]);
    let remote = commit(&upstream, "remote");
    git(&upstream, &["branch", "both"]);
    git(&upstream, &["branch", "tagged"]);
    git(&upstream, &["branch", "only/remote"]);
    git(&clone, &["fetch", "--quiet"]);
    git(&clone, &["tag", "tagged", "v6.12.117"]);
    let first = git(&clone, &["rev-parse", "v6.12.117"]);
    let rows = [
        ("tagged", &first),
        ("both", &remote),
        ("only/remote", &remote),
        ("origin/both", &remote),
        ("only-local", &local),
        ("HEAD", &local),
        ("HEAD~1", &first),
        (&local[..10], &local),
    ];
    for (reference, expected) in rows {
        let tree = world.prepare(&source(&clone, reference)).unwrap();
        assert_eq!(tree.commit.unwrap().id, *expected, "{reference}");
    }
    git(&clone, &["remote", "rename", "origin", "other"]);
    git(&clone, &["update-ref", "refs/remotes/third/both", &local]);
    let error = world.prepare(&source(&clone, "both")).unwrap_err();
    assert!(
        matches!(error, Error::Git(GitError::Ambiguous { .. })),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("third/both"));
}

#[test]
fn options_and_unknown_references_are_refused() {
    let world = World::new();
    let dir = repository(&world);
    for repository in [dir.to_string(), format!("file://{dir}")] {
        for reference in ["-x", "--upload-pack=evil", "", "a b", "a\nb"] {
            let error = world.prepare(&source(&repository, reference)).unwrap_err();
            assert!(
                matches!(error, Error::Git(GitError::InvalidReference { .. })),
                "{error}"
            );
        }
        let error = world.prepare(&source(&repository, "none")).unwrap_err();
        assert!(
            matches!(error, Error::Git(GitError::UnknownReference { .. })),
            "{error}"
        );
        assert!(error.hint().is_some());
    }
    let error = world.prepare(&source("/no/such", "v6.1")).unwrap_err();
    assert_eq!(error.to_string(), "/no/such is not a git repository");
    let error = world.prepare(&source(&world.root, "v6.1")).unwrap_err();
    assert!(matches!(error, Error::Exec(_)), "{error}");
    assert_eq!(world.leftovers(), [""; 0]);
}

#[test]
fn a_branch_at_a_url_is_followed_and_a_tag_is_kept() {
    let mut world = World::new();
    let dir = repository(&world);
    let url = format!("file://{dir}");
    let before = world.prepare(&source(&url, "main")).unwrap();
    let tagged = world.prepare(&source(&url, "v6.12.117")).unwrap();
    assert_eq!(before.commit, tagged.commit);
    let second = commit(&dir, "second");
    assert_eq!(
        world
            .prepare(&source(&url, "main"))
            .unwrap()
            .commit
            .unwrap()
            .id,
        second
    );
    fs::rename(&dir, world.root.join("gone")).unwrap();
    world.prepare(&source(&url, "main")).unwrap_err();
    assert_eq!(world.prepare(&source(&url, "v6.12.117")).unwrap(), tagged);
    world.offline = true;
    assert_eq!(
        world
            .prepare(&source(&url, "main"))
            .unwrap()
            .commit
            .unwrap()
            .id,
        second
    );
    let error = world.prepare(&source(&url, "other")).unwrap_err();
    assert!(
        matches!(error, Error::Git(GitError::Offline { .. })),
        "{error}"
    );
}

#[test]
fn a_partial_clone_fetches_what_it_lacks() {
    let world = World::new();
    let dir = repository(&world);
    git(&dir, &["config", "uploadpack.allowFilter", "true"]);
    git(&dir, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let clone = world.root.join("partial");
    let url = format!("file://{dir}");
    git(
        &world.root,
        &[
            "clone",
            "--quiet",
            "--no-checkout",
            "--filter=blob:none",
            &url,
            clone.as_str(),
        ],
    );
    let tree = world.prepare(&source(&clone, "v6.12.117")).unwrap();
    assert_eq!(tree.id, oracle(&dir, &["--force"]));
}

#[test]
fn a_partial_clone_fetches_nothing_where_nothing_may_run() {
    let mut world = World::new();
    let dir = repository(&world);
    git(&dir, &["config", "uploadpack.allowFilter", "true"]);
    git(&dir, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let clone = world.root.join("partial");
    let url = format!("file://{dir}");
    let arguments = ["clone", "--quiet", "--no-checkout", "--filter=blob:none"];
    git(
        &world.root,
        &[&arguments[..], &[&url, clone.as_str()]].concat(),
    );
    let ran = world.root.join("ran");
    let script = format!("touch {ran}; git-upload-pack");
    git(&clone, &["config", "remote.origin.uploadpack", &script]);
    world.environment.probing = Probing::Nothing;
    let error = world.prepare(&source(&clone, "v6.12.117")).unwrap_err();
    assert!(
        matches!(error, Error::Git(GitError::Lacking { .. })),
        "{error}"
    );
    assert!(!ran.exists());
}

#[test]
fn nothing_that_a_repository_names_is_run() {
    let mut world = World::new();
    let dir = repository(&world);
    let ran = world.root.join("ran");
    let script = world.root.join("run.sh");
    fs::write(
        &script,
        format!("#!/bin/sh\necho \"$0 $*\" >> {ran}\ncat\n"),
    )
    .unwrap();
    chmod(&script, 0o755);
    for key in [
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "core.askPass",
        "core.gitProxy",
        "core.alternateRefsCommand",
        "credential.helper",
        "diff.external",
        "diff.x.command",
        "diff.x.textconv",
        "filter.x.clean",
        "filter.x.smudge",
        "filter.x.process",
        "gpg.program",
        "interactive.diffFilter",
        "merge.x.driver",
        "uploadpack.packObjectsHook",
    ] {
        git(&dir, &["config", key, script.as_str()]);
    }
    let included = world.root.join("included");
    fs::write(&included, format!("[filter \"y\"]\n\tclean = {script}\n")).unwrap();
    git(&dir, &["config", "include.path", included.as_str()]);
    git(&dir, &["config", "core.hooksPath", "hooks"]);
    git(&dir, &["config", "log.showSignature", "true"]);
    for hook in [
        "fsmonitor-watchman",
        "post-checkout",
        "post-index-change",
        "pre-auto-gc",
        "reference-transaction",
    ] {
        for place in ["hooks", ".git/hooks"] {
            write(&dir, &format!("{place}/{hook}"), "");
            fs::copy(&script, dir.join(place).join(hook)).unwrap();
        }
    }
    write(
        &dir,
        ".gitattributes",
        "*.c filter=x diff=x merge=x\n* filter=y\n",
    );
    // Files that look changed and are not, and one that is: what asks whether they differ would filter them.
    write(&dir, "kernel/fork.c", "int fork(void)\n{\n\treturn 0;\n}\n");
    write(&dir, "which", "other");
    for probing in [Probing::Nothing, Probing::Run] {
        world.environment.probing = probing;
        let tree = world.prepare(&directory(&dir)).unwrap();
        assert!(tree.dirty);
        world.prepare(&source(&dir, "v6.12.117")).unwrap();
        let url = format!("file://{dir}");
        world.prepare(&source(&url, "v6.12.117")).unwrap();
        let said = fs::read_to_string(&ran).unwrap_or_default();
        assert_eq!(said, "");
    }
    // The traps work: git itself falls into them.
    git(&dir, &["-c", "core.fsmonitor=", "diff", "--", "which"]);
    assert!(ran.exists());
}

#[test]
fn settings_of_the_repository_do_not_change_the_bytes_behind_our_back() {
    let world = World::new();
    let dir = repository(&world);
    git(&dir, &["config", "core.autocrlf", "true"]);
    let tree = world.prepare(&source(&dir, "v6.12.117")).unwrap();
    assert_eq!(
        tree.id.to_string(),
        git(&dir, &["rev-parse", "HEAD^{tree}"])
    );
}

#[test]
fn a_cut_off_fetch_is_told_and_the_mirror_stays_whole() {
    let world = World::new();
    let dir = repository(&world);
    // Enough for a pack of several pieces.
    let noise: String = (0..4000_u32)
        .map(|n| format!("{:x}\n", n.wrapping_mul(2_654_435_761)))
        .collect();
    write(&dir, "noise", &noise);
    git(&dir, &["add", "--all"]);
    let second = commit(&dir, "second");
    let server = GitServer::start(&dir);
    let first = world.prepare(&source(&server.url, "v6.12.117")).unwrap();
    let mirror = world.environment.cache_dir.join("git");
    let mirror = mirror
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().into_path())
        .find(|path| path.is_dir())
        .unwrap();
    // What asks for the references goes through, and what fetches is cut; or already the first is.
    for limits in [&[usize::MAX, 3000][..], &[usize::MAX, 300], &[20], &[0]] {
        server.cut(limits);
        let error = world.prepare(&source(&server.url, "main")).unwrap_err();
        assert!(
            matches!(error, Error::Git(GitError::CutOff { .. })),
            "{limits:?}: {error:?}"
        );
        assert!(error.hint().is_some());
        server.cut(&[]);
        git(&mirror, &["fsck", "--no-dangling"]);
        assert_eq!(
            world.prepare(&source(&server.url, "v6.12.117")).unwrap(),
            first
        );
    }
    // What a killed git leaves behind is nobody's.
    for path in [
        "shallow.lock",
        "config.lock",
        "refs/kernelkit/x.lock",
        "objects/pack/tmp_pack_x",
    ] {
        write(&mirror, path, "");
    }
    let tree = world.prepare(&source(&server.url, "main")).unwrap();
    assert_eq!(tree.commit.unwrap().id, second);
    assert!(!mirror.join("shallow.lock").exists());
}

#[test]
fn a_reference_that_vanished_is_told_with_its_last_commit() {
    let world = World::new();
    let dir = repository(&world);
    git(&dir, &["branch", "topic"]);
    let server = GitServer::start(&dir);
    let tree = world.prepare(&source(&server.url, "topic")).unwrap();
    git(&dir, &["branch", "--delete", "--force", "topic"]);
    let error = world.prepare(&source(&server.url, "topic")).unwrap_err();
    assert!(
        matches!(error, Error::Git(GitError::Vanished { .. })),
        "{error:?}"
    );
    let commit = tree.commit.as_ref().unwrap().id.clone();
    assert!(error.hint().unwrap().contains(&commit));
    assert_eq!(
        world.prepare(&source(&server.url, &commit)).unwrap().id,
        tree.id
    );
    // Never seen, and nobody there.
    let error = world.prepare(&source(&server.url, "other")).unwrap_err();
    assert!(matches!(
        error,
        Error::Git(GitError::UnknownReference { .. })
    ));
    let error = world
        .prepare(&source("git://127.0.0.1:9/x", "main"))
        .unwrap_err();
    assert!(
        matches!(error, Error::Git(GitError::Unreachable { .. })),
        "{error:?}"
    );
}

#[test]
fn what_a_reference_names_is_told_without_fetching_it() {
    let mut world = World::new();
    let dir = repository(&world);
    let first = git(&dir, &["rev-parse", "HEAD"]);
    git(&dir, &["tag", "--annotate", "--message", "x", "annotated"]);
    let second = commit(&dir, "second");
    let url = format!("file://{dir}");
    let look = |world: &World, repository: &str, reference: &str| {
        let seen = Looks::new(world.context()).look(&source(repository, reference));
        seen.expect("it may move")
            .map_err(|error| error.to_string())
    };
    for repository in [dir.as_str(), &url] {
        for (reference, expected) in [
            ("main", &second),
            ("v6.12.117", &first),
            // The commit, not the tag.
            ("annotated", &first),
        ] {
            let found = look(&world, repository, reference);
            assert_eq!(found.as_ref(), Ok(expected), "{repository} {reference}");
        }
        look(&world, repository, "gone").unwrap_err();
        look(&world, repository, "--upload-pack=evil").unwrap_err();
    }
    assert!(!world.environment.cache_dir.join("git").exists());
    assert!(
        Looks::new(world.context())
            .look(&source(&url, &first))
            .is_none()
    );

    // A tag that was built stays; a branch is asked for.
    world.prepare(&source(&url, "v6.12.117")).unwrap();
    git(&dir, &["tag", "--force", "v6.12.117"]);
    assert_eq!(look(&world, &url, "v6.12.117"), Ok(first));
    world.offline = true;
    assert!(look(&world, &url, "main").unwrap_err().contains("offline"));
}

#[test]
fn a_worktree_moves_and_keeps_edits() {
    let world = World::new();
    let dir = repository(&world);
    let second = commit(&dir, "second");
    for repository in [dir.to_string(), format!("file://{dir}")] {
        let at = world.root.join(format!("tree-{}", repository.len()));
        let context = world.context();
        let lay = |reference: &str, layout| {
            worktree::lay(&at, &repository, reference, layout, &context, &mut |_| {})
        };
        let (first, laid) = lay("v6.12.117", Layout::default()).unwrap();
        assert_eq!(laid, Laid::Created);
        let prepared = |reference: &str| {
            worktree::prepare(&at, &repository, reference, &context, &mut |_| {}).unwrap()
        };
        let tree = prepared("v6.12.117");
        let archived = world.prepare(&source(&repository, "v6.12.117")).unwrap();
        assert_eq!((tree.id, &tree.label), (archived.id, &LabelHint::Vanilla));
        assert_eq!(tree.resolved, archived.resolved);
        let untouched = fs::metadata(at.join("Makefile"))
            .unwrap()
            .modified()
            .unwrap();
        let moved = Laid::Moved { from: first };
        assert_eq!(
            lay("main", Layout::default()).unwrap(),
            (second.clone(), moved)
        );
        assert_eq!(
            fs::metadata(at.join("Makefile"))
                .unwrap()
                .modified()
                .unwrap(),
            untouched
        );
        // Edits are built, and are not lost.
        write(&at, "a.c", "edited");
        let edited = prepared("main");
        assert!(edited.dirty && edited.id != archived.id);
        let error = lay("v6.12.117", Layout::default()).unwrap_err();
        assert!(error.to_string().contains(" M a.c"), "{error}");
        assert_eq!(lay("main", Layout::default()).unwrap().1, Laid::Current);
        let recreate = Layout {
            recreate: true,
            ..Layout::default()
        };
        assert_eq!(lay("main", recreate).unwrap().1, Laid::Created);
        assert!(!prepared("main").dirty);
        // A checkout that was killed holds nobody's edits.
        let mark = git(&at, &["rev-parse", "--git-path", "kernelkit-complete"]);
        fs::remove_file(at.join(mark)).unwrap();
        fs::remove_file(at.join("a.c")).unwrap();
        assert_eq!(lay("main", Layout::default()).unwrap().1, Laid::Created);
        assert!(!prepared("main").dirty);
    }
    let error = worktree::lay(
        &world.kernel("other"),
        dir.as_str(),
        "main",
        Layout {
            recreate: true,
            ..Layout::default()
        },
        &world.context(),
        &mut |_| {},
    )
    .unwrap_err();
    assert!(matches!(error, Error::Git(GitError::NotAWorktree { .. })));
    assert!(world.root.join("other/Makefile").exists());
}

/// Every attribute of gitattributes(5) that changes bytes or leaves files out, and a user who has a
/// filter, line ends, hooks and a monitor of his own.
const ATTRIBUTES: [(&str, &str, &str); 6] = [
    ("export-subst", "subst.h", "/* $Format:%H$ */\n"),
    ("export-ignore", "ignored.h", "#define IGNORED\n"),
    ("text eol=crlf", "ends.h", "a\nb\n"),
    ("ident", "ident.h", "/* $Id$ */\n"),
    ("working-tree-encoding=UTF-16", "encoded.h", "abc\n"),
    ("filter=shout", "filtered.h", "abc\n"),
];

fn with_attributes(world: &World) -> Utf8PathBuf {
    let dir = world.kernel("attributes");
    for (_, name, text) in ATTRIBUTES {
        write(&dir, &format!("include/{name}"), text);
    }
    write(&dir, "crlf.h", "a\r\nb\r\n");
    commit_all(&dir);
    let attributes: String = ATTRIBUTES
        .iter()
        .map(|(attribute, name, _)| format!("{name} {attribute}\n"))
        .collect();
    write(&dir, ".gitattributes", &attributes);
    git(&dir, &["add", ".gitattributes"]);
    git(&dir, &["commit", "--quiet", "--message", "attributes"]);
    let touch = world.root.join("ran");
    let script = format!("#!/bin/sh\necho \"$0\" >> {touch}\ncat\n");
    for name in [
        "post-checkout",
        "applypatch-msg",
        "post-index-change",
        "monitor",
        "shout",
    ] {
        write(&world.root, &format!("programs/{name}"), &script);
        chmod(&world.root.join("programs").join(name), 0o755);
    }
    let programs = world.root.join("programs");
    let config = format!(
        "[core]\n\tautocrlf = true\n\thooksPath = {programs}\n\tfsmonitor = {programs}/monitor\n\tsymlinks = false\n[filter \"shout\"]\n\tsmudge = {programs}/shout\n\tclean = {programs}/shout\n\trequired = true\n[submodule]\n\trecurse = true\n[status]\n\tshowUntrackedFiles = no\n"
    );
    write(&world.root, "home/.gitconfig", &config);
    write(&dir, ".git/info/attributes", "*.h -export-subst ident\n");
    dir
}

#[test]
fn neither_attributes_nor_settings_change_what_a_commit_is() {
    let world = World::new();
    let dir = with_attributes(&world);
    let tree_id = git(&dir, &["rev-parse", "HEAD^{tree}"]);
    let check = |dir: &Utf8Path, way: &str| {
        for (_, name, text) in ATTRIBUTES {
            let read = fs::read(dir.join("include").join(name)).unwrap();
            assert_eq!(String::from_utf8_lossy(&read), text, "{way}: {name}");
        }
        assert_eq!(fs::read(dir.join("crlf.h")).unwrap(), b"a\r\nb\r\n");
        assert!(dir.join("scripts/fork.c").is_symlink(), "{way}");
        assert!(!world.root.join("ran").exists(), "{way}");
    };
    for repository in [dir.to_string(), format!("file://{dir}")] {
        let tree = world.prepare(&source(&repository, "HEAD")).unwrap();
        assert_eq!(tree.id.to_string(), tree_id);
        check(&tree.dir, &repository);

        let work = world.root.join(format!("work-{}", repository.len()));
        let (layout, context) = (Layout::default(), world.context());
        worktree::lay(&work, &repository, "HEAD", layout, &context, &mut |_| {}).unwrap();
        check(&work, "a worktree");
        assert_eq!(worktree::edits(&work, &context).unwrap(), [""; 0]);
        write(&work, "new.c", "int new;\n");
        assert_eq!(worktree::edits(&work, &context).unwrap(), ["?? new.c"]);
        fs::remove_file(work.join("new.c")).unwrap();
        let tree = worktree::prepare(&work, &repository, "HEAD", &context, &mut |_| {}).unwrap();
        assert_eq!((tree.id.to_string(), tree.dirty), (tree_id.clone(), false));
    }

    // A second commit with the same files, whatever the cache has.
    git(
        &dir,
        &[
            "-c",
            "core.hooksPath=",
            "commit",
            "--quiet",
            "--allow-empty",
            "--message",
            "second",
        ],
    );
    let warm = world.prepare(&source(&dir, "HEAD")).unwrap().id;
    fs::remove_dir_all(world.environment.cache_dir.join("tree")).unwrap();
    let cold = world.prepare(&source(&dir, "HEAD")).unwrap().id;
    assert_eq!(
        [warm.to_string(), cold.to_string()],
        [tree_id.clone(), tree_id]
    );
}

#[test]
fn a_tree_of_an_earlier_version_is_left_alone_with_a_word() {
    let world = World::new();
    let dir = with_attributes(&world);
    let source = source(&dir, "HEAD");
    let tree = world.prepare(&source).unwrap();
    // As the versions before the first format with a checksum kept it.
    let trees = world.environment.cache_dir.join("tree");
    let key = format!("git-{}", tree.id);
    let record = format!(
        "{{\"format\": 1, \"id\": \"{}\", \"version\": \"6.12.1\", \"localversion\": \"\"}}",
        tree.id
    );
    fs::write(trees.join(format!("{key}.json")), record).unwrap();
    write(&trees, &format!("{key}/include/subst.h"), "other\n");
    let (again, seen) = world.watch(&source, &[]);
    let again = again.unwrap();
    assert_eq!((again.id, &again.dir), (tree.id, &tree.dir));
    assert!(
        seen.notes
            .iter()
            .any(|note| note.contains(&format!("{key} is of an earlier version"))),
        "{:?}",
        seen.notes
    );
    let text = fs::read_to_string(again.dir.join("include/subst.h")).unwrap();
    assert_eq!(text, "/* $Format:%H$ */\n");
    assert!(trees.join(key).join("include/subst.h").exists());
    let (_, seen) = world.watch(&source, &[]);
    assert_eq!(seen.notes, [""; 0]);
}

#[test]
fn attributes_do_not_change_what_a_patch_or_a_mail_makes() {
    let world = World::new();
    let dir = with_attributes(&world);
    let patch = "From 1 Mon Sep 17 00:00:00 2001\nFrom: a <a@example.org>\nDate: Tue, 2 Sep 2025 10:00:00 +0000\nSubject: [PATCH] ends\nMessage-Id: <1@example.org>\n\n---\n--- a/include/ends.h\n+++ b/include/ends.h\n@@ -1,2 +1,2 @@\n-a\n+A\n b\n";
    write(&world.root, "mail", patch);
    let mail = world.root.join("mail");
    let tree = source(&dir, "HEAD");
    let (patched, _) = world.watch(&tree, std::slice::from_ref(&mail));
    let patched = patched.unwrap();
    assert_eq!(
        fs::read(patched.dir.join("include/ends.h")).unwrap(),
        b"A\nb\n"
    );
    let context = world.context();
    let (_, published) = worktree::publish(
        dir.as_str(),
        "HEAD",
        "b4/ends",
        &[&mail],
        &context,
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(published, patched.id);
    assert!(!world.root.join("ran").exists());
}

#[test]
fn replaced_objects_and_submodules_do_not_pass_for_a_commits_files() {
    let world = World::new();
    let dir = repository(&world);
    let tree_id = git(&dir, &["rev-parse", "HEAD^{tree}"]);
    let blob = git(&dir, &["rev-parse", "HEAD:a.c"]);
    let other = git(&dir, &["rev-parse", "HEAD:a0"]);
    git(&dir, &["replace", &blob, &other]);
    let tree = world.prepare(&source(&dir, "HEAD")).unwrap();
    assert_eq!(tree.id.to_string(), tree_id);
    assert_eq!(fs::read(tree.dir.join("a.c")).unwrap(), b"a.c");

    let head = git(&dir, &["rev-parse", "HEAD"]);
    git(
        &dir,
        &[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{head},drivers/other"),
        ],
    );
    git(&dir, &["commit", "--quiet", "--message", "submodule"]);
    let error = world.prepare(&source(&dir, "HEAD")).unwrap_err();
    assert!(
        error.to_string().starts_with("drivers/other of "),
        "{error}"
    );
    assert!(
        error.hint().unwrap().contains("submodule update"),
        "{error}"
    );
    assert_eq!(
        world
            .leftovers()
            .iter()
            .filter(|name| name.starts_with(".tmp-"))
            .count(),
        0
    );
}
