//! randconfig: glibc's random numbers, and what each of them decides.
//!
//! A seed names a configuration only if the numbers are those of the C library the
//! kernel's own tool runs on.

use super::number;

/// glibc's `rand` after `srand(seed)`: an additive feedback generator of degree 31.
#[derive(Clone, Debug)]
pub(super) struct Rand {
    state: [u32; 31],
    next: usize,
}

impl Rand {
    pub(super) fn new(seed: u32) -> Self {
        let mut state = [0u32; 31];
        // glibc takes 0 for 1.
        let mut word = seed.max(1) as i32;
        for slot in &mut state {
            *slot = word as u32;
            let (high, low) = (i64::from(word) / 127_773, i64::from(word) % 127_773);
            let next = 16_807 * low - 2836 * high;
            word = (if next < 0 { next + 2_147_483_647 } else { next }) as i32;
        }
        let mut rand = Rand { state, next: 0 };
        for _ in 0..310 {
            rand.next();
        }
        rand
    }

    /// The next number, from 0 to 2³¹ − 1.
    pub(super) fn next(&mut self) -> u32 {
        let front = (self.next + 3) % 31;
        self.state[front] = self.state[front].wrapping_add(self.state[self.next]);
        self.next = (self.next + 1) % 31;
        self.state[front] >> 1
    }
}

/// A `KCONFIG_SEED`: a number with the prefix of its base, limited to 64 bits and then
/// cut to 32.
pub fn parse_seed(text: &str) -> Option<u32> {
    number::parse_clamped(text.as_bytes(), 0).map(|seed| seed as u32)
}

/// Chances in percent, as `KCONFIG_PROBABILITY` gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probability {
    /// A bool is y.
    pub bool_yes: u32,
    /// A tristate is y.
    pub tristate_yes: u32,
    /// A tristate is m.
    pub tristate_module: u32,
}

impl Default for Probability {
    fn default() -> Self {
        Probability {
            bool_yes: 50,
            tristate_yes: 33,
            tristate_module: 33,
        }
    }
}

/// A `KCONFIG_PROBABILITY` is none of `N`, `N:M`, `N:M:L` with sums up to 100.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a probability")]
pub struct ProbabilityError(String);

impl ProbabilityError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some("one to three numbers from 0 to 100 with colons between, see Documentation/kbuild/kconfig.rst".to_owned())
    }
}

impl std::str::FromStr for Probability {
    type Err = ProbabilityError;

    fn from_str(text: &str) -> Result<Self, ProbabilityError> {
        let error = || ProbabilityError(text.to_owned());
        if text.is_empty() {
            return Ok(Probability::default());
        }
        let numbers = text
            .split(':')
            .map(|number| number.parse().ok().filter(|number| *number <= 100))
            .collect::<Option<Vec<u32>>>()
            .ok_or_else(error)?;
        let probability = match numbers[..] {
            [n] => Probability {
                bool_yes: n,
                tristate_yes: n / 2,
                tristate_module: n / 2,
            },
            [n, m] => Probability {
                bool_yes: n + m,
                tristate_yes: n,
                tristate_module: m,
            },
            [n, m, l] => Probability {
                bool_yes: n,
                tristate_yes: m,
                tristate_module: l,
            },
            _ => return Err(error()),
        };
        let most = probability
            .bool_yes
            .max(probability.tristate_yes + probability.tristate_module);
        if most > 100 {
            return Err(error());
        }
        Ok(probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_glibc() {
        let check = |seed, expected: [u32; 3]| {
            let mut rand = Rand::new(seed);
            assert_eq!([rand.next(), rand.next(), rand.next()], expected);
        };
        check(1, [1_804_289_383, 846_930_886, 1_681_692_777]);
        check(0, [1_804_289_383, 846_930_886, 1_681_692_777]);
        check(2, [1_505_335_290, 1_738_766_719, 190_686_788]);
        check(5, [590_011_675, 99_788_765, 2_131_925_610]);
    }

    #[test]
    fn probabilities_parse() {
        let check = |text: &str, expected: Option<(u32, u32, u32)>| {
            let parsed = text.parse::<Probability>().ok();
            let parsed = parsed.map(|p| (p.bool_yes, p.tristate_yes, p.tristate_module));
            assert_eq!(parsed, expected, "{text}");
        };
        check("", Some((50, 33, 33)));
        check("10", Some((10, 5, 5)));
        check("15:25", Some((40, 15, 25)));
        check("10:15:15", Some((10, 15, 15)));
        check("60:50", None);
        check("10:60:50", None);
        check("101", None);
        check("1:2:3:4", None);
        check("x", None);
    }
}
