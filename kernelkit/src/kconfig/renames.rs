//! Symbols that had another name, or were part of what another symbol stands for now.

/// A symbol that has gone, and where to look instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rename {
    /// The name that has gone.
    pub old: &'static str,
    /// The symbol that took its place. Not always the same switch: `MICROCODE_AMD` became a
    /// part of `MICROCODE`.
    pub new: &'static str,
    /// The first long-term or later series in which the old name is gone and the new one
    /// there; the change itself may have come before.
    pub by: &'static str,
}

const fn row(old: &'static str, new: &'static str, by: &'static str) -> Rename {
    Rename { old, new, by }
}

/// Well-known renames from 5.10 on, by their old names.
///
/// Found by comparing prompts and help texts of the series 6.1, 6.12 and 7.3; names
/// that differ between those trees in more than a name are not listed.
#[rustfmt::skip]
pub const RENAMES: &[Rename] = &[
    row("CPU_IBPB_ENTRY", "MITIGATION_IBPB_ENTRY", "6.12"),
    row("CPU_IBRS_ENTRY", "MITIGATION_IBRS_ENTRY", "6.12"),
    row("CPU_SRSO", "MITIGATION_SRSO", "6.12"),
    row("CPU_UNRET_ENTRY", "MITIGATION_UNRET_ENTRY", "6.12"),
    row("CRC32_SELFTEST", "CRC_KUNIT_TEST", "7.3"),
    row("CRYPTO_CHACHA20_X86_64", "CRYPTO_LIB_CHACHA", "7.3"),
    row("CRYPTO_CRC32C_INTEL", "CRC32", "7.3"),
    row("CRYPTO_CRC32_PCLMUL", "CRC32", "7.3"),
    row("CRYPTO_CRCT10DIF", "CRC_T10DIF", "7.3"),
    row("CRYPTO_CRCT10DIF_PCLMUL", "CRC_T10DIF", "7.3"),
    row("CRYPTO_CURVE25519_X86", "CRYPTO_LIB_CURVE25519", "7.3"),
    row("CRYPTO_MANAGER_DISABLE_TESTS", "CRYPTO_SELFTESTS", "7.3"),
    row("CRYPTO_POLY1305_X86_64", "CRYPTO_LIB_POLY1305", "7.3"),
    row("CRYPTO_SHA1_SSSE3", "CRYPTO_LIB_SHA1", "7.3"),
    row("CRYPTO_SHA256_SSSE3", "CRYPTO_LIB_SHA256", "7.3"),
    row("CRYPTO_SHA512_SSSE3", "CRYPTO_LIB_SHA512", "7.3"),
    row("DEBUG_KMEMLEAK_TEST", "SAMPLE_KMEMLEAK", "6.12"),
    row("DRM_DP_AUX_CHARDEV", "DRM_DISPLAY_DP_AUX_CHARDEV", "6.12"),
    row("DRM_DP_CEC", "DRM_DISPLAY_DP_AUX_CEC", "6.12"),
    row("EMBEDDED", "EXPERT", "6.12"),
    row("EXT3_FS", "EXT4_FS", "7.3"),
    row("GDS_FORCE_MITIGATION", "MITIGATION_GDS", "6.12"),
    row("INT_POW_TEST", "INT_POW_KUNIT_TEST", "7.3"),
    row("LIBCRC32C", "CRC32", "7.3"),
    row("MEMCG_KMEM", "MEMCG", "6.12"),
    row("MICROCODE_AMD", "MICROCODE", "6.12"),
    row("MICROCODE_INTEL", "MICROCODE", "6.12"),
    row("MLX5_EN_MACSEC", "MLX5_MACSEC", "6.12"),
    row("PAGE_TABLE_ISOLATION", "MITIGATION_PAGE_TABLE_ISOLATION", "6.12"),
    row("PARIDE", "PATA_PARPORT", "6.12"),
    row("PROTECTED_NVHE_STACKTRACE", "PKVM_STACKTRACE", "7.3"),
    row("PSTORE_DEFLATE_COMPRESS", "PSTORE_COMPRESS", "6.12"),
    row("PWM_RCAR", "PWM_RENESAS_RCAR", "7.3"),
    row("PWM_RZ_MTU3", "PWM_RENESAS_RZ_MTU3", "7.3"),
    row("RETHUNK", "MITIGATION_RETHUNK", "6.12"),
    row("RETPOLINE", "MITIGATION_RETPOLINE", "6.12"),
    row("SLAB", "SLUB", "6.12"),
    row("SLOB", "SLUB_TINY", "6.12"),
    row("SLS", "MITIGATION_SLS", "6.12"),
    row("SND_SOC_INTEL_SKYLAKE", "SND_SOC_INTEL_AVS", "6.12"),
    row("SOC_CANAAN", "SOC_CANAAN_K210", "6.12"),
    row("SOC_SIFIVE", "ARCH_SIFIVE", "6.12"),
    row("SPI_MICROCHIP_CORE", "SPI_POLARFIRE_SOC", "7.3"),
    row("STACKLEAK_METRICS", "KSTACK_ERASE_METRICS", "7.3"),
    row("STACKLEAK_RUNTIME_DISABLE", "KSTACK_ERASE_RUNTIME_DISABLE", "7.3"),
    row("STACKLEAK_TRACK_MIN_SIZE", "KSTACK_ERASE_TRACK_MIN_SIZE", "7.3"),
    row("TEST_BLACKHOLE_DEV", "BLACKHOLE_DEV_KUNIT_TEST", "7.3"),
    row("TEST_MIN_HEAP", "MIN_HEAP_KUNIT_TEST", "7.3"),
    row("TEST_PRINTF", "PRINTF_KUNIT_TEST", "7.3"),
    row("TEST_SCANF", "SCANF_KUNIT_TEST", "7.3"),
    row("TEST_SIPHASH", "SIPHASH_KUNIT_TEST", "6.12"),
    row("TEST_STRING_HELPERS", "STRING_HELPERS_KUNIT_TEST", "6.12"),
    row("TEST_STRSCPY", "STRING_KUNIT_TEST", "6.12"),
    row("TEST_USER_COPY", "USERCOPY_KUNIT_TEST", "6.12"),
    row("TEST_UUID", "UUID_KUNIT_TEST", "7.3"),
    row("TINYDRM_ST7586", "DRM_ST7586", "7.3"),
    row("TINYDRM_ST7735R", "DRM_ST7735R", "7.3"),
    row("UBSAN_SANITIZE_ALL", "UBSAN", "6.12"),
    row("UNICODE_NORMALIZATION_SELFTEST", "UNICODE_NORMALIZATION_KUNIT_TEST", "7.3"),
    row("Z3FOLD", "ZSMALLOC", "7.3"),
    row("ZBUD", "ZSMALLOC", "7.3"),
];

/// What became of `name`, a symbol without `CONFIG_`.
pub fn renamed(name: &str) -> Option<&'static Rename> {
    RENAMES
        .binary_search_by(|rename| rename.old.cmp(name))
        .ok()
        .map(|index| &RENAMES[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_leads_to_names_that_are_still_there() {
        for pair in RENAMES.windows(2) {
            assert!(pair[0].old < pair[1].old, "{}", pair[1].old);
        }
        for rename in RENAMES {
            assert_eq!(renamed(rename.old), Some(rename));
            assert_eq!(renamed(rename.new), None, "{}", rename.old);
            assert!(["6.1", "6.12", "7.3"].contains(&rename.by), "{}", rename.by);
        }
    }
}
