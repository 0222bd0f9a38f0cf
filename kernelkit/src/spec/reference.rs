//! The settings' reference page, generated from the table.

use super::settings::{SETTINGS, Setting, Table};

/// The reference of all settings, as a page of Markdown.
pub fn reference_markdown() -> String {
    let mut page = String::from(
        "# Settings\n\n\
         Kernels are declared in `Cargo.toml`: in `[workspace.metadata.kernel]`, and in\n\
         `[package.metadata.kernel]` of any member of the workspace. A value of the command line wins over\n\
         one of the kernel's table, that over one of a `defaults` table, that over the built-in default.\n\
         Relative paths are relative to the root of the workspace, on the command line to the current\n\
         directory; `~` stands for itself. An unknown key is an error.\n",
    );
    for (table, title, text) in [
        (
            Table::Workspace,
            "The workspace",
            "Keys of `[workspace.metadata.kernel]` and `[package.metadata.kernel]`.",
        ),
        (
            Table::Compiler,
            "A compiler",
            "Keys of `[workspace.metadata.kernel.compilers.<name>]`.",
        ),
        (
            Table::Rule,
            "A toolchain rule",
            "Keys of an item of `toolchains`, such as `{ when = \">=6.1\", arch = [\"arm64\"], use = \"gcc-12\" }`.",
        ),
        (
            Table::Matrix,
            "A matrix",
            "Keys of `[workspace.metadata.kernel.matrix.<name>]`, besides those of a kernel.",
        ),
        (
            Table::Kernel,
            "A kernel",
            "Keys of `[workspace.metadata.kernel.kernels.<name>]`, of `[workspace.metadata.kernel.defaults]`, of flavours and of matrices.",
        ),
        (
            Table::Source,
            "A kernel's source",
            "Keys of `source` where it is a table, such as `source = { git = \"../linux\", ref = \"v6.12\" }`.\nExactly one of `dir`, `tarball`, `git` and `debian` is set.",
        ),
        (
            Table::Patch,
            "A set of patches",
            "Keys of an item of `patches` where it is a table, such as `{ path = \"patches/arm64\", arch = \"arm64\" }`.",
        ),
    ] {
        page.push_str(&format!("\n## {title}\n\n{text}\n"));
        for setting in SETTINGS.iter().filter(|setting| setting.table() == table) {
            let Setting {
                key,
                kind,
                doc,
                example,
                ..
            } = setting;
            page.push_str(&format!("\n### `{key}`\n\n{doc}\n\n- Type: {kind}\n"));
            if !setting.default.is_empty() {
                page.push_str(&format!("- Default: {}\n", code_if_toml(setting.default)));
            }
            page.push_str(&format!("- Example: `{key} = {example}`\n"));
            if let Some(flag) = setting.flag {
                let negative = setting
                    .negative_flag()
                    .map(|flag| format!(", `{flag}`"))
                    .unwrap_or_default();
                page.push_str(&format!("- Command line: `{flag}`{negative}\n"));
            }
        }
    }
    page
}

/// A default that is a TOML value is code, one in words is prose.
fn code_if_toml(default: &str) -> String {
    match default.starts_with('"') || matches!(default, "true" | "false") {
        true => format!("`{default}`"),
        false => default.to_owned(),
    }
}
