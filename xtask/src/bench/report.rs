//! What the runs say: medians, ratios, and whether the goal is met.

use serde_json::{Value, json};

/// The seconds of each run of a row.
pub(super) struct Outcome {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What the ratio should be at most.
    pub(super) goal: Option<f64>,
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
        let most = self.goal?;
        Some(self.ratio().is_some_and(|ratio| ratio <= most))
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
    let seconds = |runs: &[f64]| median(runs).map_or("-".to_owned(), |s| format!("{s:.3} s"));
    let mut text = format!(
        "{:<22} {:>12} {:>12} {:>8} {:>10}  {:<6}  what\n",
        "row", "ours", "reference", "ratio", "goal", ""
    );
    for outcome in outcomes {
        let ratio = outcome
            .ratio()
            .map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
        let goal = outcome
            .goal
            .map_or("-".to_owned(), |most| format!("<= {most}"));
        text.push_str(&format!(
            "{:<22} {:>12} {:>12} {ratio:>8} {goal:>10}  {:<6}  {}\n",
            outcome.name,
            seconds(&outcome.ours),
            seconds(&outcome.reference),
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
                "goal": outcome.goal,
                "met": outcome.met(),
            })
        })
        .collect();
    json!({ "rows": rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(goal: Option<f64>, ours: &[f64], reference: &[f64]) -> Outcome {
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
            (outcome(Some(0.5), &[1.0], &[2.0]), Some(true)),
            (outcome(Some(0.5), &[1.1], &[2.0]), Some(false)),
            (outcome(Some(0.5), &[1.0], &[]), Some(false)),
            (outcome(None, &[1.0], &[2.0]), None),
        ];
        for (index, (outcome, met)) in rows.iter().enumerate() {
            assert_eq!(outcome.met(), *met, "row {index}");
        }
    }

    #[test]
    fn table_and_json_tell_the_same() {
        let outcomes = [outcome(Some(1.02), &[1.0, 3.0, 2.0], &[2.0])];
        let line = table(&outcomes).lines().nth(1).unwrap().to_owned();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(
            words,
            [
                "row", "2.000", "s", "2.000", "s", "1.000", "<=", "1.02", "met", "a", "against",
                "b"
            ]
        );
        let row = &json(&outcomes)["rows"][0];
        assert_eq!(row["ours"]["median"], 2.0);
        assert_eq!(row["goal"], 1.02);
        assert_eq!(row["met"], true);
    }
}
