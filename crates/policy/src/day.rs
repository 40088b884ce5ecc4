//! Days, to say until when a rule holds.

use std::fmt;

/// A day of the calendar (UTC), from 1970-01-01 to 9999-12-31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    /// Days since 1970-01-01.
    number: u32,
}

impl Day {
    /// The day in which a moment lies, given as seconds since 1970-01-01T00:00:00Z.
    pub fn of_seconds(seconds: u64) -> Self {
        Self { number: u32::try_from(seconds / 86_400).unwrap_or(u32::MAX) }
    }

    /// The day so many days later.
    pub fn plus(self, days: u32) -> Self {
        Self { number: self.number.saturating_add(days) }
    }

    /// Parses `YYYY-MM-DD`. The error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a day such as `2027-01-31`");
        let plain = text.len() == 10
            && text.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if !plain {
            return Err(wrong());
        }
        let number = |range: std::ops::Range<usize>| text[range].parse::<u32>().ok();
        let (year, month, day) = (number(0..4), number(5..7), number(8..10));
        let (Some(year), Some(month), Some(day)) = (year, month, day) else { return Err(wrong()) };
        if year < 1970 || !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
            return Err(wrong());
        }
        let before = (1970..year).map(|year| 365 + u32::from(is_leap(year))).sum::<u32>();
        let months = (1..month).map(|month| days_in(year, month)).sum::<u32>();
        Ok(Self { number: before + months + day - 1 })
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut year, mut rest) = (1970, self.number.min(LAST));
        while rest >= 365 + u32::from(is_leap(year)) {
            rest -= 365 + u32::from(is_leap(year));
            year += 1;
        }
        let mut month = 1;
        while rest >= days_in(year, month) {
            rest -= days_in(year, month);
            month += 1;
        }
        write!(f, "{year:04}-{month:02}-{:02}", rest + 1)
    }
}

/// 9999-12-31.
const LAST: u32 = 2_932_896;

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap(year)),
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_it_is_read() {
        let check = |text: &str, number: u32| {
            let day = Day::parse(text).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!((day.number, day.to_string().as_str()), (number, text));
        };
        check("1970-01-01", 0);
        check("1972-02-29", 789);
        check("2000-03-01", 11_017);
        check("2027-01-31", 20_849);
        check("9999-12-31", LAST);
        assert_eq!(Day::of_seconds(951_868_800).to_string(), "2000-03-01");
        assert_eq!(Day::of_seconds(951_868_799).to_string(), "2000-02-29");
        assert_eq!(Day::of_seconds(u64::MAX).to_string(), "9999-12-31");
    }

    #[test]
    fn what_is_no_day_is_none() {
        for text in [
            "",
            "2027",
            "2027-1-31",
            "2027-13-01",
            "2027-02-29",
            "2100-02-29",
            "2027-00-01",
            "2027-01-00",
            "1969-12-31",
            "+027-01-01",
            "2027/01/31",
            "2027-01-31 ",
            "２０２７-01-3",
        ] {
            assert!(Day::parse(text).is_err(), "{text:?}");
        }
    }
}
