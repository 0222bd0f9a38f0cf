//! What the runs say: medians, ratios, and whether the goal is met.

use serde_json::{Value, json};

use crate::bench::Goal;

/// Each run of a row.
pub(super) struct Outcome {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) goal: Option<Goal>,
    /// Seconds, or MiB where memory is the goal.
    pub(super) ours: Vec<f64>,
    /// Empty where there is nothing to compare with.
    pub(super) reference: Vec<f64>,
}

impl Outcome {
    fn ratio(&self) -> Option<f64> {
        Some(median(&self.ours)? / median(&self.reference)?)
    }

    /// Whether the goal is met; `None` where there is no goal.
    fn met(&self) -> Option<bool> {
        let (value, most) = match self.goal? {
            Goal::Ratio(most) => (self.ratio(), most),
            Goal::Seconds(most) | Goal::Memory(most) => (median(&self.ours), most),
        };
        Some(value.is_some_and(|value| value <= most))
    }
}

/// The middle run; between the two middle ones where their number is even.
fn median(runs: &[f64]) -> Option<f64> {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// One line a row.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "{:<22} {:>12} {:>12} {:>8} {:>11}  {:<6}  what\n",
        "row", "ours", "reference", "ratio", "goal", ""
    );
    for outcome in outcomes {
        let ratio = outcome
            .ratio()
            .map_or("-".to_owned(), |ratio| format!("{ratio:.4}"));
        let goal = match outcome.goal {
            None => "-".to_owned(),
            Some(Goal::Ratio(most)) => format!("<= {most}"),
            Some(Goal::Seconds(most)) => format!("<= {most} s"),
            Some(Goal::Memory(most)) => format!("<= {most} MiB"),
        };
        let unit = match outcome.goal {
            Some(Goal::Memory(_)) => "MiB",
            _ => "s",
        };
        let value = |runs: &[f64]| {
            median(runs).map_or("-".to_owned(), |value| format!("{value:.3} {unit}"))
        };
        text.push_str(&format!(
            "{:<22} {:>12} {:>12} {ratio:>8} {goal:>11}  {:<6}  {}\n",
            outcome.name,
            value(&outcome.ours),
            value(&outcome.reference),
            match outcome.met() {
                None => "",
                Some(true) => "met",
                Some(false) => "MISSED",
            },
            outcome.about,
        ));
    }
    text
}

/// The same as one object, with the seconds of every run.
pub(super) fn json(outcomes: &[Outcome]) -> Value {
    let rows: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            json!({
                "name": outcome.name,
                "about": outcome.about,
                "ours": { "median": median(&outcome.ours), "runs": outcome.ours },
                "reference": { "median": median(&outcome.reference), "runs": outcome.reference },
                "ratio": outcome.ratio(),
                "goal": outcome.goal.map(|goal| match goal {
                    Goal::Ratio(most) => json!({ "ratio": most }),
                    Goal::Seconds(most) => json!({ "seconds": most }),
                    Goal::Memory(most) => json!({ "mebibytes": most }),
                }),
                "met": outcome.met(),
            })
        })
        .collect();
    json!({ "rows": rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(goal: Option<Goal>, ours: &[f64], reference: &[f64]) -> Outcome {
        Outcome {
            name: "row",
            about: "a against b",
            goal,
            ours: ours.to_vec(),
            reference: reference.to_vec(),
        }
    }

    #[test]
    fn the_median_ignores_the_order_of_the_runs() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_goal_without_a_measurement_is_not_met() {
        let rows = [
            (outcome(Some(Goal::Ratio(0.5)), &[1.0], &[2.0]), Some(true)),
            (outcome(Some(Goal::Ratio(0.5)), &[1.1], &[2.0]), Some(false)),
            (outcome(Some(Goal::Ratio(0.5)), &[1.0], &[]), Some(false)),
            (outcome(Some(Goal::Seconds(1.5)), &[1.0], &[]), Some(true)),
            (outcome(Some(Goal::Seconds(0.5)), &[1.0], &[]), Some(false)),
            (outcome(Some(Goal::Memory(0.5)), &[1.0], &[]), Some(false)),
            (outcome(None, &[1.0], &[2.0]), None),
        ];
        for (index, (outcome, met)) in rows.iter().enumerate() {
            assert_eq!(outcome.met(), *met, "row {index}");
        }
    }

    #[test]
    fn table_and_json_tell_the_same() {
        let outcomes = [outcome(Some(Goal::Ratio(1.02)), &[1.0, 3.0, 2.0], &[2.0])];
        let line = table(&outcomes).lines().nth(1).unwrap().to_owned();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(
            words,
            [
                "row", "2.000", "s", "2.000", "s", "1.0000", "<=", "1.02", "met", "a", "against",
                "b"
            ]
        );
        let row = &json(&outcomes)["rows"][0];
        assert_eq!(row["ours"]["median"], 2.0);
        assert_eq!(row["goal"]["ratio"], 1.02);
        assert_eq!(row["met"], true);
    }
}
