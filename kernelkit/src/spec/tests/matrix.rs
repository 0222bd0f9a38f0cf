//! Matrices and flavours.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

const HEAD: &str = "[workspace.metadata.kernel.matrix.t]\npreset = \"tiny\"\nversion = \"6.12\"\n";

fn matrix(lines: &str) -> Result<Spec, Error> {
    parse_text(&format!("{HEAD}{lines}\n"), &Overrides::default())
}

fn names(spec: &Spec) -> Vec<&str> {
    spec.kernels
        .iter()
        .map(|kernel| kernel.name.as_str())
        .collect()
}

fn wrong_matrix(lines: &str) -> String {
    render(&matrix(lines).unwrap_err())
}

#[test]
fn a_matrix_is_the_product_of_its_axes_in_the_order_they_are_written() {
    let spec = matrix(
        "axes = { version = [\"6.12\", \"6.1\"], arch = [\"x86_64\", \"arm64\"], debug = [false, true] }\nlabel = \"l\"",
    )
    .unwrap();
    assert_eq!(
        names(&spec),
        [
            "t-6.12-x86_64",
            "t-6.12-x86_64-debug",
            "t-6.12-arm64",
            "t-6.12-arm64-debug",
            "t-6.1-x86_64",
            "t-6.1-x86_64-debug",
            "t-6.1-arm64",
            "t-6.1-arm64-debug",
        ]
    );
    let last = spec.kernels.last().unwrap();
    assert_eq!(last.arch.value.name(), "arm64");
    assert!(last.debug.value);
    assert_eq!(last.label.as_ref().unwrap().value, "l");
    let cell = last.cell.as_ref().unwrap();
    assert_eq!(cell.matrix, "t");
    assert_eq!(cell.axes["debug"], "debug");
    assert_eq!(cell.axes["version"], "6.1");
    let Source::Release { .. } = &last.source.value else {
        panic!("{:?}", last.source.value);
    };
}

#[test]
fn values_may_have_names_of_their_own() {
    let spec = matrix(
        "name = \"{source}\"\naxes.source.lts = \"debian:linux-source-6.1\"\naxes.source.new = { dir = \"../linux\" }",
    )
    .unwrap();
    assert_eq!(names(&spec), ["lts", "new"]);
    assert_ne!(spec.kernels[0].source.value, spec.kernels[1].source.value);
}

#[test]
fn combinations_are_excluded_and_included() {
    let spec = matrix(
        "axes = { arch = [\"x86_64\", \"arm64\"], compiler = [\"gcc\", \"clang\"] }\n\
         exclude = [{ arch = \"arm64\", compiler = \"clang\" }]\n\
         include = [{ arch = [\"riscv64\"], compiler = \"gcc\", label = \"trial\" }]",
    )
    .unwrap();
    assert_eq!(
        names(&spec),
        [
            "t-x86_64-gcc",
            "t-x86_64-clang",
            "t-arm64-gcc",
            "t-riscv64-gcc"
        ]
    );
    assert_eq!(spec.kernels[3].label.as_ref().unwrap().value, "trial");
    let origin = spec.kernels[3].arch.origin.to_string();
    assert!(origin.starts_with("Cargo.toml:6:"), "{origin}");
}

#[test]
fn a_flavour_lies_over_the_kernels_own_settings() {
    let text = "\
[workspace.metadata.kernel.defaults]
fragments = [\"fs/ext4\"]
[workspace.metadata.kernel.flavours.kvm]
fragments = [\"virt/guest\"]
label = \"kvm\"
debug = true
[workspace.metadata.kernel.flavours.plain]
[workspace.metadata.kernel.matrix.t]
preset = \"tiny\"
version = \"6.12\"
label = \"own\"
axes = { flavour = [\"kvm\", \"plain\"] }
[workspace.metadata.kernel.kernels.single]
preset = \"tiny\"
version = \"6.12\"
fragments = [\"net/core\"]
flavour = \"kvm\"
";
    let spec = parse_text(text, &Overrides::default()).unwrap();
    let of = |name: &str| {
        let kernel = spec
            .kernels
            .iter()
            .find(|kernel| kernel.name.as_str() == name)
            .unwrap();
        let label = kernel.label.as_ref().map(|label| label.value.as_str());
        (kernel.fragments.value.join(" "), label, kernel.debug.value)
    };
    assert_eq!(
        of("t-kvm"),
        ("fs/ext4 virt/guest".to_owned(), Some("kvm"), true)
    );
    assert_eq!(of("t-plain"), ("fs/ext4".to_owned(), Some("own"), false));
    assert_eq!(
        of("single"),
        ("net/core virt/guest".to_owned(), Some("kvm"), true)
    );
}

#[test]
fn what_is_wrong_with_a_matrix_is_named_where_it_stands() {
    assert_snapshot!(wrong_matrix(""), @r#"
    Cargo.toml:1:35: the matrix `t` has no `axes`
      hint: name settings and their values, such as `axes = { arch = ["x86_64", "arm64"] }`
    "#);
    assert_snapshot!(wrong_matrix("axes = {}"), @r#"
    Cargo.toml:4:8: the matrix has no axis
      hint: name settings and their values, such as `axes = { arch = ["x86_64", "arm64"] }`
    "#);
    assert_snapshot!(wrong_matrix("axes = { arhc = [\"x86_64\"] }"), @r#"
    Cargo.toml:4:10: `arhc` is not a setting of kernels
      hint: did you mean `arch`?
    "#);
    assert_snapshot!(wrong_matrix("axes = { arch = \"x86_64\" }"), @r#"
    Cargo.toml:4:10: the axis `arch` must be a list or a table
      hint: list its values, `arch = ["x86_64"]`, or name its values: `arch = { a = "x86_64" }`
    "#);
    assert_snapshot!(wrong_matrix("axes = { arch = [] }"), @r#"
    Cargo.toml:4:10: the axis `arch` has no value
      hint: list its values, `arch = ["x86_64"]`, or name its values: `arch = { a = "x86_64" }`
    "#);
    assert_snapshot!(wrong_matrix("axes = { arch = [\"x86_64\", \"x86_64\"] }"), @r#"
    Cargo.toml:4:10: the axis `arch` has `x86_64` twice
      hint: remove one of them
    "#);
    assert_snapshot!(wrong_matrix("axes = { arch = [\"x86_65\", \"arm64\"] }"), @r#"
    Cargo.toml:4:18: unknown architecture `x86_65`
      hint: did you mean `x86_64`?
    "#);
    assert_snapshot!(wrong_matrix("axes = { fragments = [[\"fs/ext4\"]] }"), @r#"
    Cargo.toml:4:10: the axis `fragments` has a value that needs a name
      hint: name its values: `fragments = { a = ["fs/ext4", "fs/overlayfs"] }`
    "#);
    assert_snapshot!(wrong_matrix("axis = { arch = [\"x86_64\"] }"), @r#"
    Cargo.toml:4:1: unknown key `axis` in `workspace.metadata.kernel.matrix.t`
      hint: did you mean `axes`?
    "#);
    assert_snapshot!(wrong_matrix("axes = { arch = [\"x86_64\"] }\nexclude = [{ arch = \"arm64\" }]"), @r#"
    Cargo.toml:5:14: the axis `arch` has no value `arm64`
      hint: there is: x86_64
    "#);
    assert_snapshot!(wrong_matrix("axes = { arch = [\"x86_64\", \"arm64\"], debug = [true] }\nexclude = [{ arch = \"arm64\" }, { arch = \"arm64\" }]"), @r#"
    Cargo.toml:5:32: this excludes nothing
      hint: remove it, or look whether another entry has excluded it before
    "#);
    assert_snapshot!(wrong_matrix("axes = { arch = [\"x86_64\"] }\nexclude = [{ arch = \"x86_64\" }]"), @r#"
    Cargo.toml:1:35: the matrix has no kernel left
      hint: `exclude` removes them all
    "#);
    assert_snapshot!(wrong_matrix("axes = { arch = [\"x86_64\"] }\nexclude = [{ compiler = \"gcc\" }]"), @r#"
    Cargo.toml:5:14: the matrix has no axis `compiler`
      hint: there is: arch
    "#);
    assert_snapshot!(wrong_matrix("axes = { arch = [\"x86_64\"] }\nexclude = [{}]"), @r#"
    Cargo.toml:5:12: this entry names no axis
      hint: write it like `{ arch = "arm64" }`
    "#);
    assert_snapshot!(wrong_matrix("axes = { source = { a = \"debian:linux-source-6.1\" } }\ninclude = [{ source = \"b\" }]"), @r#"
    Cargo.toml:5:14: the axis `source` has no value `b`
      hint: did you mean `a`?
    "#);
    assert_snapshot!(wrong_matrix("name = \"{arch}-{flavour}\"\naxes = { arch = [\"x86_64\"] }"), @r#"
    Cargo.toml:4:1: the matrix has no axis `flavour`
      hint: there is: arch
    "#);
    assert_snapshot!(wrong_matrix("name = \"k\"\naxes = { arch = [\"x86_64\", \"arm64\"] }"), @r#"
    Cargo.toml:1:35: the matrix `t` has two kernels `k`: (x86_64) and (arm64)
      hint: let `name` use every axis, and give each value a name of its own
    "#);
    assert_snapshot!(wrong_matrix("name = \"{arch\"\naxes = { arch = [\"x86_64\", \"arm64\"] }"), @r#"
    Cargo.toml:4:1: `{arch` has `{` without `}`
      hint: axes stand in braces: `{arch}`
    "#);
    assert_snapshot!(wrong_matrix("axes = { flavour = [\"kvm\"] }"), @r#"
    Cargo.toml:4:10: unknown flavour `kvm`
      hint: declare it: `[workspace.metadata.kernel.flavours.kvm]`
    "#);
    assert_snapshot!(wrong_matrix("axes = { arch = [\"x86_64\"] }\n[workspace.metadata.kernel.kernels.t-x86_64]\nversion = \"6.1\"\npreset = \"tiny\""), @r#"
    Cargo.toml:5:36: kernel `t-x86_64` is declared twice, first at Cargo.toml:1:35
      hint: rename one of them, for example to `t-x86_64-2`
    "#);
}

#[test]
fn a_matrix_does_not_explode() {
    let values: Vec<String> = (0..30).map(|number| format!("\"l{number}\"")).collect();
    let values = values.join(", ");
    let text = wrong_matrix(&format!(
        "axes = {{ label = [{values}], flavour = [{values}], toolchain = [{values}] }}"
    ));
    assert!(text.contains("more than 10000 kernels"), "{text}");
}

proptest! {
    /// There are as many kernels as combinations, each by another name, whatever the axes.
    #[test]
    fn every_combination_has_a_kernel(sizes in proptest::collection::vec(1_usize..5, 1..4)) {
        let keys = ["label", "flavour", "compiler"];
        let mut lines = String::new();
        for (key, size) in keys.iter().zip(&sizes) {
            let size = if *key == "compiler" { (*size).min(2) } else { *size };
            let values: Vec<String> = (0..size)
                .map(|number| match *key {
                    "compiler" => ["\"gcc\"", "\"clang\""][number].to_owned(),
                    _ => format!("\"v{number}\""),
                })
                .collect();
            lines.push_str(&format!("axes.{key} = [{}]\n", values.join(", ")));
        }
        for number in 0..5 {
            lines.push_str(&format!("[workspace.metadata.kernel.flavours.v{number}]\n"));
        }
        let spec = matrix(&lines).unwrap();
        let expected: usize = keys
            .iter()
            .zip(&sizes)
            .map(|(key, size)| if *key == "compiler" { (*size).min(2) } else { *size })
            .product();
        let unique: std::collections::BTreeSet<_> = names(&spec).into_iter().collect();
        prop_assert_eq!(unique.len(), expected);
    }
}
