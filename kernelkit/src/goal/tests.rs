use super::*;

const KCONFIG_MAKEFILE: &str = "\
tinyconfig:
\t$(Q)KCONFIG_ALLCONFIG=kernel/configs/base.config $(MAKE) -f $(srctree)/Makefile allnoconfig
\t$(Q)$(MAKE) -f $(srctree)/Makefile tiny.config
";

const FILES: &[&str] = &[
    "arch/x86/configs/x86_64_defconfig",
    "arch/x86/configs/i386_defconfig",
    "arch/x86/configs/tiny.config",
    "arch/powerpc/configs/ppc64_defconfig",
    "arch/powerpc/configs/le.config",
    "arch/powerpc/configs/guest.config",
    "arch/arm64/configs/defconfig",
    "arch/arm64/configs/virt.config",
    "kernel/configs/tiny.config",
    "kernel/configs/debug.config",
];

/// The steps in words, `make`, or what is wrong.
fn show(arch: &str, source_arch: &str, makefile: &str, goals: &[&str]) -> String {
    let configs: Vec<String> = FILES
        .iter()
        .filter(|file| {
            file.starts_with("kernel/") || file.starts_with(&format!("arch/{source_arch}/"))
        })
        .filter_map(|file| file.rsplit('/').next())
        .map(str::to_owned)
        .collect();
    let tree = Tree {
        arch,
        source_arch,
        machine: "x86_64",
        arch_makefile: makefile,
        kconfig_makefile: KCONFIG_MAKEFILE,
        is_file: &|path| FILES.contains(&path.as_str()),
        configs: &configs,
    };
    let goals: Vec<_> = goals.iter().map(|goal| (*goal).to_owned()).collect();
    let steps = match steps(&goals, &tree) {
        Ok(Some(steps)) => steps,
        Ok(None) => return "make".to_owned(),
        Err(error) => return format!("{error}; {}", error.hint().unwrap_or_default()),
    };
    let short = |path: &Utf8PathBuf| {
        path.as_str()
            .replace(&format!("arch/{source_arch}/configs/"), "")
            .replace("kernel/configs/", "k/")
    };
    let words = steps.iter().map(|step| match step {
        Step::Defconfig { file } => format!("defconfig={}", short(file)),
        Step::Fill { mode, allconfig } => match allconfig {
            Some(file) => format!("{mode:?}({})", short(file)),
            None => format!("{mode:?}"),
        },
        Step::Merge { base, fragments } => {
            let fragments: Vec<_> = fragments.iter().map(short).collect();
            let base = base.as_ref().map_or(".config".to_owned(), short);
            format!("{base}+{}", fragments.join("+"))
        }
        Step::Update { mode } => format!("{mode:?}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

const X86: &str = "\
# which one is it
ifeq ($(ARCH),x86)
  ifeq ($(shell uname -m | sed -e 's/i.86/i386/'),i386)
\tKBUILD_DEFCONFIG := i386_defconfig
  else
\tKBUILD_DEFCONFIG := x86_64_defconfig
  endif
else
\tKBUILD_DEFCONFIG := $(ARCH)_defconfig
endif
bzImage: vmlinux
\t$(Q)true
";

#[test]
fn goals_of_every_tree_are_steps() {
    let check = |goals: &[&str], expected: &str| {
        assert_eq!(show("x86_64", "x86", X86, goals), expected, "{goals:?}");
    };
    check(&["defconfig"], "defconfig=x86_64_defconfig");
    check(&["i386_defconfig"], "defconfig=i386_defconfig");
    check(&["allnoconfig"], "Allnoconfig");
    check(
        &["defconfig", "debug.config"],
        "defconfig=x86_64_defconfig .config+k/debug.config Olddefconfig",
    );
    check(&["debug.config"], ".config+k/debug.config Olddefconfig");
    check(
        &["tinyconfig"],
        "Allnoconfig(k/base.config) .config+k/tiny.config+tiny.config Olddefconfig",
    );
    check(
        &["defconfig", "mod2yesconfig"],
        "defconfig=x86_64_defconfig Mod2yesconfig",
    );
    check(
        &["defconfig", "oldconfig"],
        "defconfig=x86_64_defconfig Oldconfig",
    );
}

#[test]
fn what_hangs_on_machine_or_chance_is_left_to_make() {
    for goals in [
        &["olddefconfig"][..],
        &["randconfig"],
        &["localmodconfig"],
        &["defconfig", "localyesconfig"],
    ] {
        assert_eq!(show("x86_64", "x86", X86, goals), "make", "{goals:?}");
    }
}

#[test]
fn an_architecture_says_which_defconfig_is_its_own() {
    let check = |arch: &str, source_arch: &str, makefile: &str, expected: &str| {
        let shown = show(arch, source_arch, makefile, &["defconfig"]);
        assert_eq!(shown, expected, "{makefile}");
    };
    check("i386", "x86", X86, "defconfig=i386_defconfig");
    check("x86", "x86", X86, "defconfig=x86_64_defconfig");
    check("arm64", "arm64", "", "defconfig=defconfig");
    let powerpc = "uname := $(shell uname -m)\nKBUILD_DEFCONFIG := $(if $(filter ppc%,$(uname)),$(uname),ppc64)_defconfig\n";
    check("powerpc", "powerpc", powerpc, "defconfig=ppc64_defconfig");
    for unknown in [
        "KBUILD_DEFCONFIG := $(shell guess)_defconfig\n",
        "ifeq ($(call try,x),y)\nKBUILD_DEFCONFIG := x86_64_defconfig\nendif\n",
        "ifdef CROSS\nKBUILD_DEFCONFIG := x86_64_defconfig\nelse\nKBUILD_DEFCONFIG := i386_defconfig\nendif\n",
    ] {
        check("x86_64", "x86", unknown, "make");
    }
    let decided = "ifdef CONFIG_64BIT\nKBUILD_DEFCONFIG := no\nelse ifeq ($(ARCH),x86_64)\nKBUILD_DEFCONFIG := i386_defconfig\nelse\nKBUILD_DEFCONFIG := no\nendif\n";
    check("x86_64", "x86", decided, "defconfig=i386_defconfig");
}

#[test]
fn an_architecture_s_own_goals_are_read_where_they_are_lists() {
    let makefile = "\
KBUILD_DEFCONFIG := ppc64le_defconfig
PHONY += ppc64le_defconfig
ppc64le_defconfig:
\t$(call merge_into_defconfig,ppc64_defconfig,le)
guest_defconfig:
\t$(call merge_into_defconfig_override,ppc64_defconfig,\\
\t\tle guest)
pseries_defconfig: guest_defconfig
two_defconfig:
\t$(Q)$(MAKE) -f $(srctree)/Makefile defconfig debug.config
le_allmodconfig:
\t$(Q)$(MAKE) KCONFIG_ALLCONFIG=$(srctree)/arch/powerpc/configs/le.config \\
\t\t-f $(srctree)/Makefile allmodconfig
le_randconfig:
\t$(Q)$(MAKE) KCONFIG_ALLCONFIG=$(srctree)/arch/powerpc/configs/le.config \\
\t\t-f $(srctree)/Makefile randconfig
shell_defconfig:
\t$(Q)cat $(files) > .config
lost_defconfig:
\t$(call merge_into_defconfig,gone_defconfig,le)
";
    let check = |goal: &str, expected: &str| {
        let shown = show("powerpc", "powerpc", makefile, &[goal]);
        assert_eq!(shown, expected, "{goal}");
    };
    let le = "ppc64_defconfig+le.config Olddefconfig";
    check("ppc64le_defconfig", le);
    check("defconfig", le);
    check(
        "guest_defconfig",
        "ppc64_defconfig+le.config+guest.config Olddefconfig",
    );
    check(
        "pseries_defconfig",
        "ppc64_defconfig+le.config+guest.config Olddefconfig",
    );
    check(
        "two_defconfig",
        "ppc64_defconfig+le.config Olddefconfig .config+k/debug.config Olddefconfig",
    );
    check("le_allmodconfig", "Allmodconfig(le.config)");
    for goal in ["le_randconfig", "shell_defconfig", "lost_defconfig"] {
        check(goal, "make");
    }
}

#[test]
fn what_makes_no_configuration_is_refused_with_what_to_do() {
    let check = |goal: &str, expected: &str| {
        let shown = show("x86_64", "x86", X86, &["defconfig", goal]);
        assert_eq!(shown, expected);
    };
    check(
        "x86_46_defconfig",
        "this kernel has no configuration `x86_46_defconfig` for x86_64; did you mean `x86_64_defconfig`?",
    );
    check(
        "debgu.config",
        "this kernel has no configuration `debgu.config` for x86_64; did you mean `debug.config`?",
    );
    check(
        "defconfg_of_nobody_at_all_config",
        "this kernel has no configuration `defconfg_of_nobody_at_all_config` for x86_64; `make ARCH=x86_64 help` in the source tree lists the goals",
    );
    check(
        "menuconfig",
        "`menuconfig` is interactive; start from `defconfig`, or save what you choose there and name the file as `config`",
    );
    check(
        "all",
        "`all` does not make a configuration; a configuration starts from a goal such as `defconfig`; what make builds are `targets`",
    );
    // Where names are computed only make knows them.
    let computed = "$(eval $(call gen_defconfigs,micro))\n$(generic_defconfigs):\n\ttrue\n";
    assert_eq!(
        show("mips", "mips", computed, &["micro32_defconfig"]),
        "make"
    );
}

proptest::proptest! {
    #[test]
    fn any_makefile_is_read(text in "([ -~\t]{0,30}\n){0,12}", goal in "[a-z_]{0,8}(def)?config") {
        let _ = show("x86_64", "x86", &text, &[&goal, "defconfig"]);
    }
}
