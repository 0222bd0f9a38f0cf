//! The longest chain of units that wait for each other.
//!
//! Make does not tell who waited for whom, so that Kbuild's own order stands in: objects wait for
//! what is prepared for all of them; an archive, for what lies in and below its directory; the
//! links at the end, for everything before them.

use super::Unit;

/// Two clock readings of one moment may differ by so much, in seconds.
const SAME: f64 = 0.005;

/// What a unit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Headers and the programs of `scripts` and `tools`, made before the first object.
    Prepared,
    /// An object.
    Object,
    /// What is made of objects in its directory, such as a vDSO.
    Local,
    /// An archive, or objects linked into one.
    Archive,
    /// What needs the whole kernel.
    Whole,
}

/// The units of the chain in the order of time, and its length in seconds. The units are in the
/// order of their beginnings.
pub(super) fn path(units: &[Unit]) -> (Vec<usize>, f64) {
    let kinds = kinds(units);
    let mut cost = vec![0.0; units.len()];
    let mut before: Vec<Option<usize>> = vec![None; units.len()];
    for (index, unit) in units.iter().enumerate() {
        let waits_for = |other: usize| {
            if units[other].end() > unit.start + SAME {
                return false;
            }
            let prepared = kinds[other] == Kind::Prepared;
            let directory = unit.directory();
            match kinds[index] {
                Kind::Prepared => {
                    let (linked, other) = (!unit.verb.ends_with("CC"), units[other].directory());
                    prepared && (linked && other == directory || other == "scripts/basic")
                }
                Kind::Object => prepared,
                Kind::Local => prepared || units[other].directory() == directory,
                Kind::Archive => is_below(&units[other].target, directory),
                Kind::Whole => true,
            }
        };
        let longest = (0..index)
            .filter(|&other| waits_for(other))
            .max_by(|&left, &right| f64::total_cmp(&cost[left], &cost[right]));
        before[index] = longest;
        cost[index] = unit.seconds + longest.map_or(0.0, |other| cost[other]);
    }
    let Some(mut at) =
        (0..units.len()).max_by(|&left, &right| f64::total_cmp(&cost[left], &cost[right]))
    else {
        return (Vec::new(), 0.0);
    };
    let length = cost[at];
    let mut chain = vec![at];
    while let Some(earlier) = before[at] {
        chain.push(earlier);
        at = earlier;
    }
    chain.reverse();
    (chain, length)
}

fn is_below(target: &str, directory: &str) -> bool {
    directory.is_empty()
        || target
            .strip_prefix(directory)
            .is_some_and(|rest| rest.starts_with('/'))
}

fn kinds(units: &[Unit]) -> Vec<Kind> {
    let is_object = |unit: &Unit| {
        matches!(unit.verb.as_str(), "CC" | "AS" | "RUSTC" | "RUSTC L")
            && unit.target.ends_with(".o")
            && !unit.target.starts_with("scripts/")
            && !unit.target.starts_with("tools/")
            && !unit.target.contains("/vdso")
    };
    let start_of = |is: &dyn Fn(&Unit) -> bool| {
        let first = units.iter().find(|unit| is(unit));
        first.map_or(f64::INFINITY, |unit| unit.start)
    };
    let objects = start_of(&is_object);
    let links = start_of(&|unit| {
        !unit.target.contains('/')
            && (unit.target.starts_with("vmlinux") || unit.target == "built-in.a")
    });
    units
        .iter()
        .map(|unit| match unit.verb.as_str() {
            _ if unit.end() <= objects + SAME => Kind::Prepared,
            verb if verb.starts_with("HOST") => Kind::Object,
            "CC" | "AS" | "RUSTC" => Kind::Object,
            _ if unit.start + SAME >= links => Kind::Whole,
            "AR" => Kind::Archive,
            "LD" if unit.target.ends_with(".o") => Kind::Archive,
            "LD" | "OBJCOPY" | "VDSO" | "VDSO2C" | "VDSOSYM" | "PASYMS" | "RELOCS" => Kind::Local,
            // A script makes it of the tree's own files.
            _ => Kind::Object,
        })
        .collect()
}
