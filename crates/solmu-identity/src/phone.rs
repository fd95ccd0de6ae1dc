//! Phone numbers, made comparable: E.164.
//!
//! Only what is needed to tell that two texts are one number: country code, trunk prefix, length. The metadata of all
//! numbering plans was rejected: it costs every build more than the rest of this crate together, and a number that does
//! not exist does no harm here.

use std::str::FromStr;

use crate::value::BadValue;

/// Digits of a number with its country code (E.164: at most 15).
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// How people of a country write their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    region: &'static str,
    code: &'static str,
    /// What stands before a number inside the country and not after the country code.
    trunk: &'static str,
}

const fn plan(region: &'static str, code: &'static str, trunk: &'static str) -> Plan {
    Plan {
        region,
        code,
        trunk,
    }
}

/// Countries without a trunk prefix have an empty one; in Italy the zero belongs to the number.
const PLANS: [Plan; 44] = [
    plan("FI", "358", "0"),
    plan("SE", "46", "0"),
    plan("NO", "47", ""),
    plan("DK", "45", ""),
    plan("IS", "354", ""),
    plan("EE", "372", ""),
    plan("LV", "371", ""),
    plan("LT", "370", "0"),
    plan("DE", "49", "0"),
    plan("AT", "43", "0"),
    plan("CH", "41", "0"),
    plan("NL", "31", "0"),
    plan("BE", "32", "0"),
    plan("LU", "352", ""),
    plan("FR", "33", "0"),
    plan("ES", "34", ""),
    plan("PT", "351", ""),
    plan("IT", "39", ""),
    plan("GB", "44", "0"),
    plan("IE", "353", "0"),
    plan("PL", "48", ""),
    plan("CZ", "420", ""),
    plan("SK", "421", "0"),
    plan("HU", "36", "06"),
    plan("RO", "40", "0"),
    plan("BG", "359", "0"),
    plan("GR", "30", ""),
    plan("HR", "385", "0"),
    plan("SI", "386", "0"),
    plan("RS", "381", "0"),
    plan("UA", "380", "0"),
    plan("TR", "90", "0"),
    plan("IL", "972", "0"),
    plan("US", "1", "1"),
    plan("CA", "1", "1"),
    plan("MX", "52", ""),
    plan("BR", "55", "0"),
    plan("AU", "61", "0"),
    plan("NZ", "64", "0"),
    plan("JP", "81", "0"),
    plan("KR", "82", "0"),
    plan("IN", "91", "0"),
    plan("SG", "65", ""),
    plan("ZA", "27", "0"),
];

/// The country whose way of writing numbers holds where none is given (ISO 3166-1, two letters).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region(Plan);

/// A country that we do not know how to write numbers of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("phone numbers of '{0}' are not known: expected a code such as 'FI'")]
pub struct UnknownRegion(String);

impl FromStr for Region {
    type Err = UnknownRegion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = PLANS
            .iter()
            .find(|plan| plan.region.eq_ignore_ascii_case(text.trim()));
        found
            .map(|plan| Self(*plan))
            .ok_or_else(|| UnknownRegion(text.to_owned()))
    }
}

impl Default for Region {
    fn default() -> Self {
        Self(PLANS[0])
    }
}

/// `raw` as E.164, read as people of `region` write it.
pub(crate) fn e164(raw: &str, region: Region) -> Result<String, BadValue> {
    let (international, digits) = read(raw)?;
    let Region(home) = region;
    let number = if international {
        without_trunk(&digits)
    } else if let Some(abroad) = digits.strip_prefix("00") {
        without_trunk(abroad)
    } else if let Some(abroad) = digits.strip_prefix("011").filter(|_| home.code == "1") {
        without_trunk(abroad)
    } else {
        let national = digits.strip_prefix(home.trunk).unwrap_or(&digits);
        format!("{}{national}", home.code)
    };
    if DIGITS.contains(&number.len()) && !number.starts_with('0') {
        Ok(format!("+{number}"))
    } else {
        Err(BadValue::Phone)
    }
}

/// The digits, and whether a plus sign says that they begin with a country code.
fn read(raw: &str) -> Result<(bool, String), BadValue> {
    let text = raw.trim();
    let text = text.strip_prefix("tel:").unwrap_or(text);
    // Extensions and parameters (RFC 3966) say which desk, not which line.
    let end = text
        .find([';', ',', 'x', '#'])
        .or_else(|| text.find("ext"))
        .unwrap_or(text.len());
    let text = text[..end].replace("(0)", "");
    let text = text.trim();
    let international = text.starts_with(['+', '\u{ff0b}']);
    let mut digits = String::new();
    for c in text.chars() {
        match c.to_digit(10) {
            Some(_) => digits.push(c),
            None if c.is_alphabetic() => return Err(BadValue::Phone),
            None => {}
        }
    }
    Ok((international, digits))
}

/// Takes out the trunk prefix that some write after the country code: `+358 040 ...`.
fn without_trunk(number: &str) -> String {
    let plan = PLANS
        .iter()
        .filter(|plan| plan.trunk == "0" && number.starts_with(plan.code))
        .max_by_key(|plan| plan.code.len());
    let rest = plan.and_then(|plan| {
        let national = number.strip_prefix(plan.code)?.strip_prefix(plan.trunk)?;
        Some(format!("{}{national}", plan.code))
    });
    rest.unwrap_or_else(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_however_it_is_written() {
        for raw in [
            "+358401234567",
            "+358 40 123 4567",
            "0401234567",
            "040-1234567",
            "040 123 4567",
            "00358401234567",
            "(040) 1234567",
            "+358 (0)401234567",
            "+3580401234567",
            "tel:+358-40-123-4567;ext=7",
            " 040 123 4567 x12",
        ] {
            let found = e164(raw, Region::default());
            assert_eq!(found.as_deref(), Ok("+358401234567"), "{raw}");
        }
    }

    #[test]
    fn every_country_has_its_way() {
        for (raw, region, wanted) in [
            ("06 123 45678", "IT", "+390612345678"),
            ("011 358 40 1234567", "US", "+358401234567"),
            ("1 (212) 555-0100", "us", "+12125550100"),
            ("070-123 45 67", "SE", "+46701234567"),
            ("22 12 34 56", "NO", "+4722123456"),
        ] {
            let region: Region = region.parse().unwrap();
            assert_eq!(e164(raw, region).as_deref(), Ok(wanted), "{raw}");
        }
        assert!("XX".parse::<Region>().is_err());
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in [
            "",
            "+",
            "12",
            "call me",
            "0800 FLOWERS",
            "+1234567890123456",
        ] {
            assert!(e164(bad, Region::default()).is_err(), "{bad}");
        }
    }
}
