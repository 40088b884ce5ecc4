//! Medians of what is paired.

/// The median of some ratios, with the least and the most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ratio {
    pub(super) middle: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Ratio {
    /// Of what was measured in the same round.
    pub(super) fn of(times: &[f64], base: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = times.iter().zip(base).map(|(time, base)| time / base).collect();
        if ratios.is_empty() {
            return None;
        }
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        Some(Self { middle: median(ratios), least, most })
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.middle, self.least, self.most)
    }
}

/// How a figure stands to its goal, in words for the page. Judged as it is
/// printed, with two decimals.
pub(super) fn verdict(figure: f64, goal: f64) -> &'static str {
    if (figure * 100.0).round() <= (goal * 100.0).round() { "met" } else { "**missed**" }
}

/// The middle one, or the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_bits(), 2.0f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5f64.to_bits());
    }

    #[test]
    fn a_goal_is_met_as_it_is_printed() {
        assert_eq!(verdict(1.0349, 1.03), "met");
        assert_eq!(verdict(1.0351, 1.03), "**missed**");
    }
}
