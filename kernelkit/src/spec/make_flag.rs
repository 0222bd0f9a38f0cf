//! What may stand in `make-flags`: one `VARIABLE=value` an item, whose whole meaning is its text.
//!
//! A flag enters the identity, the plan and the logs as it is written. So everything is refused that
//! would mean something else on another machine (a file's content, a function of make), that has a
//! place of its own (a symbol, a setting), or that must not be written down (a PIN).

use super::value::InvalidValue;
use crate::credentials::is_secret_variable;

/// Why a variable is not the user's to set.
#[derive(Clone, Copy)]
enum Owner {
    /// Each build sets it.
    Build,
    /// It names a program, which the toolchain's id covers by content.
    Toolchain,
    /// It changes what make or its shell does.
    Make,
}

/// The make variables that are refused, and what to use instead. A name that ends in `*` stands for
/// all that begin so. From the kernel's top `Makefile`, `Documentation/kbuild/kbuild.rst` and
/// the GNU make manual ("How to Run make", "Other Special Variables").
const REFUSED: &[(Owner, &[&str], &str)] = &[
    (
        Owner::Build,
        &["O", "KBUILD_OUTPUT", "objtree", "abs_objtree"],
        "builds lie in cargo's target directory: move it with `build.target-dir` or CARGO_TARGET_DIR",
    ),
    (
        Owner::Build,
        &[
            "ARCH",
            "SRCARCH",
            "SUBARCH",
            "UTS_MACHINE",
            "CROSS_COMPILE",
            "CROSS_COMPILE_*",
            "CROSS32_COMPILE",
        ],
        "use `arch`",
    ),
    (
        Owner::Toolchain,
        &[
            "CC",
            "CPP",
            "CC_COMPAT",
            "LD",
            "LD_COMPAT",
            "AR",
            "NM",
            "AS",
            "OBJCOPY",
            "OBJDUMP",
            "READELF",
            "STRIP",
            "LLVM",
            "HOSTCC",
            "HOSTCXX",
            "HOSTAR",
            "HOSTLD",
        ],
        "use `compiler`; the linker and the other binutils come with it",
    ),
    (
        Owner::Toolchain,
        &["LLVM_IAS"],
        "there is no setting for it: clang assembles by itself, and GNU as comes with `compiler = \"gcc\"`",
    ),
    (
        Owner::Toolchain,
        &[
            "RUSTC",
            "HOSTRUSTC",
            "RUSTDOC",
            "RUSTFMT",
            "CLIPPY_DRIVER",
            "CARGO",
            "BINDGEN",
            "PAHOLE",
            "DTC",
            "RESOLVE_BTFIDS",
            "DEPMOD",
            "GZIP",
            "KGZIP",
            "BZIP2",
            "KBZIP2",
            "KLZOP",
            "LZMA",
            "LZ4",
            "XZ",
            "ZSTD",
            "TAR",
            "AWK",
            "PERL",
            "PYTHON",
            "PYTHON3",
            "LEX",
            "YACC",
        ],
        "it is the first of its name on PATH; `path` of an entry in `compilers` is a directory that is looked into before",
    ),
    (
        Owner::Build,
        &["KCONFIG_*", "KBUILD_DEFCONFIG", "KBUILD_KCONFIG"],
        "use `preset`, `make`, `config` or `fragments`",
    ),
    (
        Owner::Build,
        &["KBUILD_BUILD_*", "SOURCE_DATE_EPOCH"],
        "use `reproducible` and `timestamp`",
    ),
    (
        Owner::Build,
        &["INSTALL_MOD_STRIP"],
        "there is no setting for stripped modules yet; without debug information (`debug = false`) there is little to strip",
    ),
    (
        Owner::Build,
        &["INSTALL_*", "INSTALLKERNEL", "MODLIB"],
        "use `install` and `modules-install`; finished builds are installed below cargo's target directory",
    ),
    (
        Owner::Build,
        &[
            "LOCALVERSION",
            "KERNELRELEASE",
            "KERNELVERSION",
            "VERSION",
            "PATCHLEVEL",
            "SUBLEVEL",
            "EXTRAVERSION",
        ],
        "the version is that of the source; use `label` to add to the release",
    ),
    (
        Owner::Build,
        &[
            "KBUILD_SRC",
            "KBUILD_ABS_SRCTREE",
            "srctree",
            "srcroot",
            "abs_srctree",
            "sub_make_done",
            "VPATH",
        ],
        "use `source`",
    ),
    (
        Owner::Build,
        &["M", "MO", "KBUILD_EXTMOD", "KBUILD_EXTMOD_OUTPUT"],
        "there is no command for modules outside of the tree yet; `make -C target/kernel/NAME/build M=DIR modules` builds them against a finished build",
    ),
    (
        Owner::Make,
        &["MAKEFLAGS", "GNUMAKEFLAGS", "MFLAGS", "MAKEOVERRIDES"],
        "use `jobs`, and `make-flags` for variables",
    ),
    (
        Owner::Make,
        &[
            "SHELL",
            "CONFIG_SHELL",
            "BASH",
            "MAKE",
            "MAKEFILES",
            "MAKEFILE_LIST",
            "MAKELEVEL",
            "MAKECMDGOALS",
            "CURDIR",
        ],
        "remove it: how make runs is set by `jobs`, what it makes by `targets`",
    ),
];

/// Variables whose files reach no byte of a kernel: those of checkers, and of programs that run in
/// the build ([`Role::Hostcc`](crate::toolchain::Role::Hostcc)).
const HARMLESS: &[&str] = &[
    "CF",
    "CHECK",
    "CHECKFLAGS",
    "DT_CHECKER*",
    "DT_SCHEMA_FILES",
    "HOST*",
    "KBUILD_HOST*",
    "KDOCFLAGS",
    "SPFLAGS",
];

/// Options whose argument the compiler looks up among files of its own, by a name alone.
const LOOKED_UP: &[&str] = &[
    "--specs=",
    "-fpass-plugin=",
    "-fplugin=",
    "-fuse-ld=",
    "-specs=",
    "-wrapper",
];

/// Options of compilers, assemblers and linkers that read the file or directory named behind
/// them, joined or as the next word.
const READS: &[&str] = &[
    "--extern=",
    "--just-symbols=",
    "--sysroot=",
    "--version-script=",
    "-B",
    "-I",
    "-L",
    "-T",
    "-fauto-profile=",
    "-fmodule-file=",
    "-fprofile-instr-use=",
    "-fprofile-sample-use=",
    "-fprofile-use=",
    "-fsanitize-blacklist=",
    "-fsanitize-ignorelist=",
    "-idirafter",
    "-imacros",
    "-include",
    "-iprefix",
    "-iquote",
    "-isysroot",
    "-isystem",
];

/// Options with text that is written and never opened.
const WRITES: &[&str] = &[
    "--debug-prefix-map=",
    "--remap-path-prefix=",
    "-D",
    "-U",
    "-fdebug-prefix-map=",
    "-ffile-prefix-map=",
    "-fmacro-prefix-map=",
];

/// References that mean the same on every machine.
const REFERENCES: &[&str] = &["$(srctree)", "${srctree}", "$(objtree)", "${objtree}"];

/// Stands for a reference while a value is looked at; no value has a control character.
const TREE: &str = "\u{1}";

/// A make variable with its value that is the user's to set.
pub(super) fn parse(text: &str) -> Result<String, InvalidValue> {
    let name = name(text);
    // Before all that would show the text.
    if let Some(refusal) = refused_secret(text) {
        return Err(refusal);
    }
    if text.starts_with('-') {
        let jobs = text.starts_with("-j") || text.starts_with("--jobs");
        return Err(InvalidValue::new(
            format!("`{text}` is an option of make itself, not a variable of the build"),
            if jobs {
                "use `jobs`"
            } else {
                "only `VARIABLE=value` is taken here; how make runs is set by `jobs`"
            },
        ));
    }
    if let Some(refusal) = refused(name) {
        return Err(refusal);
    }
    if let Some((symbol, value)) = symbol(text) {
        return Err(InvalidValue::new(
            format!("`{symbol}` is a symbol of the configuration, not a variable of make"),
            format!("put `{symbol}={value}` into a fragment, and the fragment into `fragments`"),
        ));
    }
    let Some(value) = text
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('='))
        .filter(|_| !name.is_empty())
    else {
        return Err(InvalidValue::new(
            format!("`{}` is not `VARIABLE=value`", text.escape_debug()),
            "write it like `W=1`; a goal of make belongs into `targets`",
        ));
    };
    check_value(name, value)?;
    Ok(text.to_owned())
}

/// Why a text is refused that sets a variable with a secret; it is not repeated.
pub(super) fn refused_secret(text: &str) -> Option<InvalidValue> {
    let secret = secret(text)?;
    Some(InvalidValue::new(
        format!("the make variable `{secret}` holds a secret"),
        match secret.as_str() {
            "KBUILD_SIGN_PIN" => {
                "a build does not sign with a key of yours; `scripts/sign-file` in the build directory signs finished modules and reads KBUILD_SIGN_PIN from its own environment"
            }
            _ => {
                "make variables are part of the identity, the plan and the logs: keep secrets out of builds"
            }
        },
    ))
}

/// The symbol of the configuration that a text sets, and its value.
fn symbol(text: &str) -> Option<(String, &str)> {
    let name = name(text);
    let prefix = name.get(.."CONFIG_".len())?;
    if name.len() == prefix.len() || !prefix.eq_ignore_ascii_case("CONFIG_") {
        return None;
    }
    let value = text.split_once('=').map_or("y", |(_, value)| value.trim());
    Some((name.to_ascii_uppercase(), value))
}

/// What to do with a text that make would take among its arguments, and that is given as the name of a kernel;
/// `None` where it sets nothing. A secret is not repeated.
pub(super) fn hint_for_argument(text: &str) -> Option<String> {
    let (_, _) = text.split_once('=')?;
    if let Some(refusal) = refused_secret(text) {
        return refusal.hint();
    }
    if let Some((symbol, value)) = symbol(text) {
        return Some(format!(
            "`{symbol}` is a symbol of the configuration: put `{symbol}={value}` into a fragment, and name the fragment in the kernel's `fragments` or with `--fragment`"
        ));
    }
    let name = name(text);
    if name.is_empty() {
        return None;
    }
    Some(match refused(name) {
        Some(refusal) => refusal.hint().unwrap_or_default(),
        None => format!(
            "variables of make are given with `--make-flag {}`, or in `make-flags`",
            crate::process::quote(text)
        ),
    })
}

/// The name at the beginning of `text`, empty where none is there.
fn name(text: &str) -> &str {
    let text = text.trim_start();
    let end = text
        .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .unwrap_or(text.len());
    match text.starts_with(|first: char| first.is_ascii_digit()) {
        true => "",
        false => &text[..end],
    }
}

/// The name of a secret that is set at the beginning of `text`, or by one of its words.
fn secret(text: &str) -> Option<String> {
    let first = name(text);
    if is_secret_variable(first) {
        return Some(first.to_owned());
    }
    text.split(|character: char| character.is_whitespace() || "\"'".contains(character))
        .filter(|word| !word.starts_with('-'))
        .filter_map(|word| word.split_once('='))
        .map(|(name, _)| name.trim_end_matches([':', '+', '?']).replace('-', "_"))
        .find(|name| is_secret_variable(name))
}

fn matches(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

fn refused(name: &str) -> Option<InvalidValue> {
    let (owner, _, instead) = REFUSED
        .iter()
        .find(|(_, patterns, _)| patterns.iter().any(|pattern| matches(name, pattern)))?;
    let message = match owner {
        Owner::Build => format!("the make variable `{name}` is set by cargo kernel"),
        Owner::Toolchain => {
            format!("the make variable `{name}` chooses a program, which is part of the toolchain")
        }
        Owner::Make => format!("`{name}` is a variable of make itself, not of the build"),
    };
    Some(InvalidValue::new(message, *instead))
}

/// Refuses a value that means more than its text.
fn check_value(name: &str, value: &str) -> Result<(), InvalidValue> {
    if value.contains(char::is_control) {
        return Err(InvalidValue::new(
            format!("the value of `{name}` is not one line of text"),
            "write it in one line, with spaces between words",
        ));
    }
    let plain = REFERENCES
        .iter()
        .fold(value.to_owned(), |text, known| text.replace(known, TREE));
    if let Some(at) = plain.find(['$', '`']) {
        return Err(InvalidValue::new(
            format!(
                "`{name}={value}`: what `{}` stands for depends on the machine that builds",
                plain[at..].split_whitespace().next().unwrap_or_default()
            ),
            "write the value itself; only `$(srctree)` and `$(objtree)` are known on every machine",
        ));
    }
    if HARMLESS.iter().any(|pattern| matches(name, pattern)) {
        return Ok(());
    }
    match foreign_file(&plain) {
        Some(file) => Err(InvalidValue::new(
            format!(
                "`{name}={value}` reads `{file}`, a file of this machine that is no part of the identity"
            ),
            "put the file into the source tree, for example with a patch, and name it `$(srctree)/…`",
        )),
        None => Ok(()),
    }
}

/// The first file in the words of a value that may lie outside of the kernel's tree: a response file, an
/// operand, what an option of [`READS`] names, or any path in an option but those of [`WRITES`].
fn foreign_file(value: &str) -> Option<String> {
    let outside = |file: &str| {
        // GCC reads `@FILE` where there is such a file.
        file.starts_with(['/', '~'])
            || file.starts_with('@') && !file[1..].starts_with(TREE)
            || file.split('/').any(|component| component == "..")
    };
    let words = crate::process::words(value);
    // `-Wl,-T,FILE` and `-Wa,@FILE` hand words on.
    let words = words.iter().flat_map(|word| word.split(','));
    words
        .filter_map(|word| {
            let argument = |options: &[&str]| {
                let strip = |option: &&str| word.strip_prefix(*option);
                options.iter().find_map(strip)
            };
            if let Some(name) = argument(LOOKED_UP) {
                return (!name.starts_with(TREE) || outside(name)).then_some(name);
            }
            if !word.starts_with('-') {
                return outside(word).then_some(word);
            }
            if argument(WRITES).is_some() {
                return None;
            }
            if let Some(file) = argument(READS).filter(|file| outside(file)) {
                return Some(file);
            }
            // Whatever the option is called: compilers have hundreds that read a file.
            let before = &word[..word.find('/')?];
            let file = word.split_once('=').map_or(word, |(_, file)| file);
            (!before.contains(TREE) || outside(file)).then_some(file)
        })
        .next()
        .map(|file| file.replace(TREE, REFERENCES[0]))
}

#[cfg(test)]
mod tests {
    use super::super::settings::SETTINGS;
    use super::*;

    fn refusal(text: &str) -> String {
        let error = parse(text).expect_err(text);
        format!("{error}; hint: {}", error.hint().unwrap())
    }

    #[test]
    fn a_symbol_is_no_variable_however_it_is_assigned() {
        for text in [
            "CONFIG_SMP=y",
            "CONFIG_SMP:=y",
            "CONFIG_SMP::=y",
            "CONFIG_SMP+=y",
            "CONFIG_SMP?=y",
            "CONFIG_SMP = y",
            " CONFIG_SMP=y",
            "config_smp=y",
            "CONFIG_SMP",
        ] {
            assert_eq!(
                refusal(text),
                "`CONFIG_SMP` is a symbol of the configuration, not a variable of make; hint: put `CONFIG_SMP=y` into a fragment, and the fragment into `fragments`",
                "{text}"
            );
        }
        assert!(refusal("CONFIG_LOCALVERSION=\"-x\"").contains("`CONFIG_LOCALVERSION=\"-x\"`"));
        // No symbol has such a name.
        assert!(parse("CONFIGURE=1").is_ok());
        assert!(refusal("CONFIG_SHELL=/bin/dash").starts_with("`CONFIG_SHELL` is a variable"));
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for name in [
            "KBUILD_SIGN_PIN",
            "MY_PASSWORD",
            "PASSWORD",
            "GITHUB_TOKEN",
            "hsm_pin",
            "KEY_PASSPHRASE",
        ] {
            for text in [
                format!("{name}=hunter2"),
                format!("{name}:=hunter2"),
                format!("{name} hunter2"),
                format!("{name}=hunter2\n"),
                format!("{name}=$(shell echo hunter2)"),
                format!("W=1 {name}=hunter2"),
                format!("KCFLAGS=-DX {name}:=hunter2"),
                format!("export {name}=hunter2"),
                format!("'{name}=hunter2'"),
            ] {
                let said = refusal(&text);
                assert!(said.contains(name) && said.contains("secret"), "{said}");
                assert!(!said.contains("hunter2"), "{said}");
            }
        }
        for text in ["KBUILD_PINS=1", "MAPPIN=1", "TOKENS=2"] {
            assert_eq!(parse(text), Ok(text.to_owned()));
        }
    }

    #[test]
    fn hints_name_what_exists() {
        let rows = [
            ("M=/x", "no command for modules outside of the tree yet"),
            ("KBUILD_EXTMOD=/x", "no command for modules"),
            ("RUSTC=rustc-1.78", "`path` of an entry in `compilers`"),
            ("PAHOLE=/x/pahole", "`path` of an entry in `compilers`"),
            ("ZSTD=zstd -19", "`path` of an entry in `compilers`"),
            ("INSTALL_MOD_STRIP=1", "no setting for stripped modules yet"),
            ("INSTALL_PATH=/boot", "use `install`"),
            ("LLVM_IAS=0", "there is no setting for it"),
            ("LD=ld.lld", "use `compiler`"),
        ];
        for (text, hint) in rows {
            let said = refusal(text);
            assert!(said.contains(hint), "{text}: {said}");
            assert!(!said.contains("cargo kernel module"), "{said}");
        }
        for (_, _, hint) in REFUSED {
            let words = hint.split('`').skip(1).step_by(2);
            for word in words.filter(|word| {
                word.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
            }) {
                assert!(
                    SETTINGS.iter().any(|setting| setting.key == word),
                    "`{word}` is no setting"
                );
            }
        }
    }

    #[test]
    fn nothing_else_is_smuggled_in() {
        let rows = [
            ("-f other.mk", "option of make"),
            ("--eval=X=1", "option of make"),
            ("-e", "option of make"),
            ("-C", "option of make"),
            ("-I/x", "option of make"),
            ("O=/tmp", "set by cargo kernel"),
            ("KBUILD_OUTPUT=/tmp", "set by cargo kernel"),
            ("KCONFIG_CONFIG=x", "set by cargo kernel"),
            ("srctree=/x", "set by cargo kernel"),
            ("MAKEFLAGS=-k", "variable of make itself"),
            ("GNUMAKEFLAGS=-k", "variable of make itself"),
            ("MAKEFILES=/x.mk", "variable of make itself"),
            ("SHELL=/x", "variable of make itself"),
            ("bzImage", "is not `VARIABLE=value`"),
            ("X:=1", "is not `VARIABLE=value`"),
            ("X+=1", "is not `VARIABLE=value`"),
            ("X!=date", "is not `VARIABLE=value`"),
            ("X =1", "is not `VARIABLE=value`"),
            (" X=1", "is not `VARIABLE=value`"),
            ("1X=1", "is not `VARIABLE=value`"),
            ("", "is not `VARIABLE=value`"),
            ("override X=1", "is not `VARIABLE=value`"),
            ("KCFLAGS=-g\nX=1", "is not one line"),
            ("KCFLAGS=$(shell uname -m)", "depends on the machine"),
            ("KCFLAGS=-I$(HOME)/x", "depends on the machine"),
            ("KCFLAGS=-DX=$$(date)", "depends on the machine"),
            ("KCFLAGS=-DX=`date`", "depends on the machine"),
        ];
        for (text, expected) in rows {
            let said = refusal(text);
            assert!(said.contains(expected), "{text:?}: {said}");
        }
    }

    #[test]
    fn files_of_this_machine_are_no_flags() {
        for words in [
            "@/tmp/flags",
            "@flags",
            "-g @flags",
            "-Wa,@flags",
            "-specs=/x.specs",
            "-include /x.h",
            "-include/x.h",
            "-include ../x.h",
            "-I/usr/include",
            "-I /usr/include",
            "-I~/include",
            "-isystem /usr/include",
            "-I$(srctree)/../x",
            "--sysroot=/x",
            "-B/x",
            "-fplugin=/x.so",
            "-fplugin=name",
            "-specs=nosys.specs",
            "-fuse-ld=gold",
            "-fprofile-use=/x.gcda",
            "-fprofile-sample-use=/x.afdo",
            "'-I/usr/include'",
            "-Wl,-T,/x.lds",
            "-Xclang /x",
        ] {
            for name in [
                "KCFLAGS",
                "KCPPFLAGS",
                "KAFLAGS",
                "LDFLAGS_MODULE",
                "KBUILD_USERCFLAGS",
            ] {
                let said = refusal(&format!("{name}={words}"));
                assert!(said.contains("no part of the identity"), "{words}: {said}");
            }
        }
        for text in [
            "KCFLAGS=-O3 -g -Og",
            "KCFLAGS=-I$(srctree)/include/x -include $(srctree)/x.h",
            "KCFLAGS=-include linux/x.h",
            "KCFLAGS=-ffile-prefix-map=/home/me=/usr/src",
            "KCFLAGS=-DDIR=\\\"/lib/firmware\\\"",
            "KCFLAGS=-march=native",
            "LDFLAGS_MODULE=-T $(srctree)/scripts/x.lds",
            "HOSTCFLAGS=-I/opt/openssl/include",
            "CF=-D__x -I/usr/include",
            "W=1",
            "DTC_FLAGS=-@",
            "KBUILD_MODPOST_WARN=",
        ] {
            assert_eq!(parse(text), Ok(text.to_owned()), "{text}");
        }
    }
}
