//! Numbers as the kernel's reader takes them.

/// A whole string as a number in `base` (10, 16, or 0 for "by its prefix"):
/// sign and prefix allowed, nothing behind it.
pub(super) fn parse_signed(text: &[u8], base: u32) -> Option<i64> {
    let (negative, magnitude, rest) = scan(text, base)?;
    if !rest.is_empty() {
        return None;
    }
    if negative {
        0i64.checked_sub_unsigned(magnitude?)
    } else {
        i64::try_from(magnitude?).ok()
    }
}

/// The same, unsigned; a minus sign wraps around as in C.
pub(super) fn parse_unsigned(text: &[u8], base: u32) -> Option<u64> {
    let (negative, magnitude, rest) = scan(text, base)?;
    if !rest.is_empty() {
        return None;
    }
    Some(if negative {
        magnitude?.wrapping_neg()
    } else {
        magnitude?
    })
}

/// The same, signed; what overflows becomes the nearest there is.
pub(super) fn parse_clamped(text: &[u8], base: u32) -> Option<i64> {
    let (_, _, rest) = scan(text, base)?;
    rest.is_empty().then(|| prefix(text, base))
}

/// As much of the string as is a number, clamped to 64 bits; 0 where nothing is.
pub(super) fn prefix(text: &[u8], base: u32) -> i64 {
    match scan(text, base) {
        None => 0,
        Some((true, magnitude, _)) => magnitude
            .and_then(|magnitude| 0i64.checked_sub_unsigned(magnitude))
            .unwrap_or(i64::MIN),
        Some((false, magnitude, _)) => magnitude
            .and_then(|magnitude| i64::try_from(magnitude).ok())
            .unwrap_or(i64::MAX),
    }
}

/// Sign, magnitude (nothing if it overflows) and what follows; nothing without a digit.
fn scan(text: &[u8], base: u32) -> Option<(bool, Option<u64>, &[u8])> {
    let start = text
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r'))
        .unwrap_or(text.len());
    let mut rest = &text[start..];
    let negative = rest.first() == Some(&b'-');
    if let Some(b'-' | b'+') = rest.first() {
        rest = &rest[1..];
    }
    let prefixed = matches!(rest, [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit());
    let base = match base {
        0 if prefixed => 16,
        0 if rest.first() == Some(&b'0') => 8,
        0 => 10,
        base => base,
    };
    if base == 16 && prefixed {
        rest = &rest[2..];
    }
    let mut magnitude = Some(0u64);
    let mut digits = 0;
    while let Some(digit) = rest
        .get(digits)
        .and_then(|byte| char::from(*byte).to_digit(base))
    {
        magnitude = magnitude
            .and_then(|value| value.checked_mul(u64::from(base)))
            .and_then(|value| value.checked_add(u64::from(digit)));
        digits += 1;
    }
    (digits > 0).then(|| (negative, magnitude, &rest[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_in_c() {
        let signed = |text: &str, base, expected| {
            assert_eq!(parse_signed(text.as_bytes(), base), expected, "{text}");
        };
        signed("12", 10, Some(12));
        signed("-12", 10, Some(-12));
        signed("0x1F", 16, Some(31));
        signed("1f", 16, Some(31));
        signed("0x1f", 0, Some(31));
        signed("017", 0, Some(15));
        signed("017", 10, Some(17));
        signed("08", 0, None);
        signed("0x", 16, None);
        signed("", 10, None);
        signed("12 ", 10, None);
        signed("9223372036854775807", 10, Some(i64::MAX));
        signed("9223372036854775808", 10, None);
        signed("-9223372036854775808", 10, Some(i64::MIN));
        assert_eq!(parse_unsigned(b"0xffffffffffffffff", 16), Some(u64::MAX));
        assert_eq!(parse_unsigned(b"0x10000000000000000", 16), None);
        assert_eq!(parse_clamped(b"0xfc835b0432292420", 0), Some(i64::MAX));
        assert_eq!(parse_clamped(b"-99999999999999999999", 0), Some(i64::MIN));
        assert_eq!(parse_clamped(b"12 ", 0), None);
        assert_eq!(prefix(b"12abc", 10), 12);
        assert_eq!(prefix(b"abc", 10), 0);
        assert_eq!(prefix(b"99999999999999999999", 10), i64::MAX);
    }
}
