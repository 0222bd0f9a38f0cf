//! The scheduler under the eyes of a world in which builds take what they like.

use proptest::prelude::*;

use super::*;

fn estimate(milliseconds: u64, memory: u64, cores: usize) -> Estimate {
    Estimate {
        milliseconds,
        memory,
        tmpfs: memory / 3,
        cores,
    }
}

/// Objects of a world with four symbols.
#[derive(Clone, Copy, Debug)]
struct Made {
    id: usize,
    symbols: u8,
    nearest: Option<usize>,
}

impl Made {
    fn distance(self, other: Made) -> usize {
        (self.symbols ^ other.symbols).count_ones() as usize
    }
}

fn settings(symbols: u8) -> Settings {
    let on = (0..8).filter(|bit| symbols >> bit & 1 == 1);
    Settings::of(
        &on.map(|bit| format!("CONFIG_{bit}=y\n"))
            .collect::<String>(),
    )
}

fn planned(estimate: Estimate, release: usize, objects: Option<Made>) -> Outcome {
    Outcome::Planned(Planned {
        stage: Stage::Confirm,
        estimate,
        release: release.to_string(),
        objects: objects.map(|made| Objects {
            id: Sha256::of(made.id.to_string().as_bytes()),
            settings: settings(made.symbols),
            nearest: made.nearest,
        }),
    })
}

const BUDGET: Budget = Budget {
    cores: 4,
    memory: 100,
    tmpfs: 30,
    builds: 3,
};

/// A kernel as the world has it: what it takes, and where it ends.
#[derive(Clone, Debug)]
struct Fate {
    takes: Estimate,
    release: usize,
    objects: Option<Made>,
    fails_in: Option<Stage>,
    reused: bool,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = (
        (1_u64..100, 0_u64..150, 1_usize..6),
        0_usize..6,
        prop::option::of((
            0_usize..3,
            0_u8..16,
            prop::option::weighted(0.3, 0_usize..6),
        )),
        prop_oneof![
            4 => Just(None),
            1 => Just(Some(Stage::Plan)),
            1 => Just(Some(Stage::Confirm)),
            1 => Just(Some(Stage::Build)),
        ],
        prop::bool::weighted(0.2),
    );
    let fate = fate.prop_map(
        |((milliseconds, memory, cores), release, objects, fails_in, reused)| Fate {
            takes: estimate(milliseconds, memory, cores),
            release,
            objects: objects.map(|(id, symbols, nearest)| Made {
                id,
                symbols,
                nearest,
            }),
            fails_in,
            reused,
        },
    );
    prop::collection::vec(fate, 0..12)
}

/// Runs a batch to its end; of what runs, `pick` says which is over first. Gives what was begun, in order,
/// and holds the budget at every moment. `stop_at` is after how many ends the user has enough.
fn carry_out(
    fates: &[Fate],
    keep_going: bool,
    mut pick: impl FnMut(usize) -> usize,
    stop_at: Option<usize>,
) -> (Vec<(usize, Stage)>, Batch) {
    let mut batch = Batch::new(fates.len(), BUDGET, keep_going);
    let (mut begun, mut running, mut ended) = (Vec::new(), Vec::new(), 0);
    loop {
        while let Some((kernel, stage)) = batch.next() {
            begun.push((kernel, stage));
            running.push((kernel, stage));
            check_budget(fates, &batch, &running);
            check_objects(fates, &batch, &running);
        }
        if running.is_empty() {
            break;
        }
        let (kernel, stage) = running.remove(pick(running.len()));
        let fate = &fates[kernel];
        batch.finish(
            kernel,
            match stage {
                stage if fate.fails_in == Some(stage) => Outcome::End(End::Failed),
                Stage::Plan if fate.reused => Outcome::End(End::Reused),
                Stage::Plan => planned(fate.takes, fate.release, fate.objects),
                Stage::Confirm => Outcome::Confirmed,
                Stage::Build => Outcome::End(End::Passed),
            },
        );
        ended += 1;
        if stop_at == Some(ended) {
            batch.interrupt();
        }
    }
    assert!(batch.is_over(), "{batch:?}");
    (begun, batch)
}

/// What many kernels need is made once: none begins beside one that makes objects at most half as far as all that
/// there are, and of those that have none, none begins beside any that makes some.
fn check_objects(fates: &[Fate], batch: &Batch, running: &[(usize, Stage)]) {
    let Some((&(last, Stage::Build), before)) = running.split_last() else {
        return;
    };
    let Some(wanted) = fates[last].objects else {
        return;
    };
    let distance = |kernel: usize| {
        let made = fates[kernel].objects.filter(|made| made.id == wanted.id)?;
        Some(made.distance(wanted))
    };
    let passed =
        (0..fates.len()).filter(|kernel| batch.state(*kernel) == State::Ended(End::Passed));
    let there = passed.filter_map(distance).chain(wanted.nearest).min();
    let built = before.iter().filter(|(_, stage)| *stage == Stage::Build);
    for made in built.filter_map(|(kernel, _)| distance(*kernel)) {
        let is_fine = there.is_some_and(|there| there < 2 * made || there == 0);
        assert!(
            is_fine,
            "{last} does not wait for {made}, with {there:?}: {batch:?}"
        );
    }
}

fn check_budget(fates: &[Fate], batch: &Batch, running: &[(usize, Stage)]) {
    let plans = running.iter().filter(|(_, stage)| *stage == Stage::Plan);
    if plans.count() > 0 {
        assert_eq!(running.len(), 1, "a plan goes alone: {batch:?}");
        return;
    }
    let takes = || running.iter().map(|(kernel, _)| fates[*kernel].takes);
    let within = running.len() <= BUDGET.builds
        && takes().map(|takes| takes.cores).sum::<usize>() <= BUDGET.cores
        && takes().map(|takes| takes.memory).sum::<u64>() <= BUDGET.memory
        && takes().map(|takes| takes.tmpfs).sum::<u64>() <= BUDGET.tmpfs;
    assert!(running.len() == 1 || within, "{running:?} of {fates:?}");
    let mut releases: Vec<_> = running
        .iter()
        .map(|(kernel, _)| fates[*kernel].release)
        .collect();
    releases.sort_unstable();
    releases.dedup();
    assert_eq!(releases.len(), running.len(), "one build twice at once");
}

/// Which of what runs is over first, from a list of numbers.
fn picks(choices: &[usize]) -> impl FnMut(usize) -> usize {
    let mut choices = choices.iter().cycle();
    move |running| choices.next().map_or(0, |choice| choice % running)
}

proptest! {
    #[test]
    fn every_kernel_ends_once_and_the_budget_holds(
        fates in fates(),
        choices in prop::collection::vec(0_usize..12, 1..20),
    ) {
        let (begun, batch) = carry_out(&fates, true, picks(&choices), None);
        for (kernel, fate) in fates.iter().enumerate() {
            let stages: Vec<_> = begun.iter().filter(|(of, _)| *of == kernel).map(|(_, stage)| *stage).collect();
            let last = match (fate.fails_in, fate.reused) {
                (Some(Stage::Plan), _) | (_, true) => 1,
                (Some(Stage::Confirm), false) => 2,
                (Some(Stage::Build) | None, false) => 3,
            };
            prop_assert_eq!(&stages, &[Stage::Plan, Stage::Confirm, Stage::Build][..last]);
            let end = match (fate.fails_in, fate.reused) {
                (Some(Stage::Plan), _) | (Some(_), false) => End::Failed,
                (_, true) => End::Reused,
                (None, false) => End::Passed,
            };
            prop_assert_eq!(batch.state(kernel), State::Ended(end));
        }
    }

    #[test]
    fn the_same_answers_lead_to_the_same_order(
        fates in fates(),
        choices in prop::collection::vec(0_usize..12, 1..20),
    ) {
        let once = carry_out(&fates, true, picks(&choices), None).0;
        prop_assert_eq!(once, carry_out(&fates, true, picks(&choices), None).0);
    }

    #[test]
    fn nothing_is_begun_after_a_failure_that_shall_stop_it(
        fates in fates(),
        choices in prop::collection::vec(0_usize..12, 1..20),
    ) {
        let (begun, batch) = carry_out(&fates, false, picks(&choices), None);
        let (all, _) = carry_out(&fates, true, picks(&choices), None);
        prop_assert!(all.starts_with(&begun));
        let failed = batch.states().any(|state| state == State::Ended(End::Failed));
        let skipped = batch.states().any(|state| state == State::Ended(End::Skipped));
        prop_assert!(failed || !skipped);
    }

    #[test]
    fn an_interrupted_batch_ends_everywhere(
        fates in fates(),
        choices in prop::collection::vec(0_usize..12, 1..20),
        stop_at in 1_usize..12,
    ) {
        // That every state is an end is what `carry_out` asserts.
        let (begun, _) = carry_out(&fates, true, picks(&choices), Some(stop_at));
        let (all, _) = carry_out(&fates, true, picks(&choices), None);
        prop_assert!(all.starts_with(&begun));
    }
}

#[test]
fn plans_go_first_then_confirmations_then_the_shortest_build() {
    let fates: Vec<_> = [30, 10, 20]
        .iter()
        .enumerate()
        .map(|(release, milliseconds)| Fate {
            takes: estimate(*milliseconds, 60, 1),
            release,
            objects: None,
            fails_in: None,
            reused: false,
        })
        .collect();
    let (begun, _) = carry_out(&fates, true, |_| 0, None);
    let order: Vec<_> = begun
        .iter()
        .map(|(kernel, stage)| format!("{stage} {kernel}"))
        .collect();
    assert_eq!(
        order,
        [
            "plan 0",
            "plan 1",
            "plan 2",
            "confirm 1",
            "confirm 2",
            "confirm 0",
            "build 1",
            "build 2",
            "build 0"
        ]
    );
}

#[test]
fn of_kernels_that_are_the_same_build_one_waits_for_the_other() {
    let mut batch = Batch::new(2, BUDGET, true);
    for kernel in 0..2 {
        assert_eq!(batch.next(), Some((kernel, Stage::Plan)));
        batch.finish(kernel, planned(estimate(1, 1, 1), 7, None));
    }
    assert_eq!(batch.next(), Some((0, Stage::Confirm)));
    assert_eq!(batch.next(), None);
    batch.finish(0, Outcome::Confirmed);
    assert_eq!(batch.next(), Some((0, Stage::Build)));
    assert_eq!(batch.next(), None);
    batch.finish(0, Outcome::End(End::Passed));
    assert_eq!(batch.next(), Some((1, Stage::Confirm)));
}

#[test]
fn a_configuration_is_as_far_as_settings_are_only_in_one() {
    let distance = |one: &str, other: &str| Settings::of(one).distance(&Settings::of(other));
    let text = "# A menu\n#\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_LOCALVERSION=\"-x\"\n";
    assert_eq!(distance(text, text), 0);
    assert_eq!(
        distance(text, &text.replace("-x", "-y").replace("A menu", "")),
        0
    );
    assert_eq!(distance(text, &text.replace("A=y", "A=m")), 2);
    assert_eq!(
        distance(text, &text.replace("# CONFIG_B is not set", "CONFIG_B=y")),
        2
    );
    assert_eq!(distance(text, ""), 2);
    assert_eq!(distance("", text), 2);
    assert_eq!(
        distance("CONFIG_A=y\nCONFIG_C=y\n", "CONFIG_B=y\nCONFIG_C=y\n"),
        2
    );
}

#[test]
fn a_kernel_waits_for_much_nearer_objects_and_no_others() {
    let begin = |symbols: [u8; 3], nearest: Option<usize>| {
        let mut batch = Batch::new(3, BUDGET, true);
        for (id, symbols) in symbols.into_iter().enumerate() {
            assert_eq!(batch.next(), Some((id, Stage::Plan)));
            let made = Made {
                id: 0,
                symbols,
                nearest,
            };
            batch.finish(id, planned(estimate(1, 1, 1), id, Some(made)));
        }
        for id in 0..3 {
            assert_eq!(batch.next(), Some((id, Stage::Confirm)));
        }
        for id in 0..3 {
            batch.finish(id, Outcome::Confirmed);
        }
        batch
    };
    let build = |kernel| Some((kernel, Stage::Build));
    let mut batch = begin([0b0000, 0b1111, 0b1110], None);
    assert_eq!((batch.next(), batch.next()), (build(0), None));
    batch.finish(0, Outcome::End(End::Passed));
    assert_eq!((batch.next(), batch.next()), (build(1), None));
    batch.finish(1, Outcome::End(End::Failed));
    assert_eq!(batch.next(), build(2));
    let mut batch = begin([0b0000, 0b0011, 0b1100], None);
    assert_eq!((batch.next(), batch.next()), (build(0), None));
    batch.finish(0, Outcome::End(End::Passed));
    assert_eq!((batch.next(), batch.next()), (build(1), build(2)));
    let mut batch = begin([0b0000, 0b0001, 0b0010], Some(0));
    assert_eq!(
        [batch.next(), batch.next(), batch.next()],
        [build(0), build(1), build(2)]
    );
}

#[test]
fn two_cores_are_shared_by_two_kernels_and_one_core_by_none() {
    let builds = |cores| Budget::new(cores, 0).builds;
    assert_eq!([1, 2, 4, 8, 16, 64].map(builds), [1, 2, 2, 2, 4, 16]);
}
