//! What a build will take, where nobody has built it yet.

use crate::config::{DotConfig, Value};

/// What a stage of a kernel takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Milliseconds of one core.
    pub milliseconds: u64,
    /// Bytes, at the peak; those of a build directory in memory, too.
    pub memory: u64,
    /// Bytes of a build directory in memory.
    pub tmpfs: u64,
    /// Cores that are its own; those of a make that shares a jobserver count once.
    pub cores: usize,
}

const MIB: u64 = 1 << 20;

/// From the configuration alone. The numbers are measured on a few kernels and rough; what hangs
/// on them is the order of builds, and how many run at once.
pub fn predict(config: &DotConfig) -> Estimate {
    let (mut built_in, mut modules) = (0, 0);
    for value in config.values().values() {
        match value {
            Value::Yes => built_in += 1,
            Value::Module => modules += 1,
            _ => {}
        }
    }
    let debug = config.is_enabled("DEBUG_INFO");
    let compiling = 20_000 + 150 * built_in + 800 * modules;
    // What links vmlinux holds all of it; pahole holds its debug information besides.
    let memory = match () {
        () if config.is_enabled("LTO_CLANG_FULL") => 8192,
        () if config.is_enabled("DEBUG_INFO_BTF") => 4096,
        () if config.is_enabled("LTO_CLANG_THIN") => 4096,
        () if debug => 2048,
        () => 512 + modules / 16,
    };
    Estimate {
        milliseconds: if debug { compiling * 3 / 2 } else { compiling },
        memory: memory * MIB,
        tmpfs: 0,
        cores: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_symbols_take_longer_and_debug_information_takes_memory() {
        let of = |text: &str| predict(&DotConfig::parse(text).unwrap());
        let small = of("CONFIG_A=y\n");
        let modular = of("CONFIG_A=y\nCONFIG_B=m\n");
        let debug = of("CONFIG_A=y\nCONFIG_DEBUG_INFO=y\n");
        let btf = of("CONFIG_A=y\nCONFIG_DEBUG_INFO=y\nCONFIG_DEBUG_INFO_BTF=y\n");
        assert!(small.milliseconds < modular.milliseconds);
        assert!(small.milliseconds < debug.milliseconds);
        assert!(small.memory < debug.memory && debug.memory < btf.memory);
    }
}
