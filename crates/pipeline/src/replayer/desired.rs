//! What to do about a job: pure.

use postrider_domain::replay::{DesiredState, ReplayState};

/// What to do next about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it is as it is wanted.
    Nothing,
    /// Begin, or go on.
    Start,
    /// Tell its task to stop, and be paused.
    Pause,
    /// Tell its task to stop for good.
    Cancel,
    /// No task works on it: write that it is in this state.
    Tell(ReplayState),
}

/// What brings a job from where it stands (none: nobody has begun) to what is desired.
pub(super) fn next_step(desired: DesiredState, stands: Option<ReplayState>, at_work: bool) -> Step {
    match (desired, at_work) {
        _ if stands.is_some_and(ReplayState::is_final) => Step::Nothing,
        (DesiredState::Running, false) => Step::Start,
        (DesiredState::Running, true) => Step::Nothing,
        (DesiredState::Paused, true) => Step::Pause,
        (DesiredState::Paused, false) if stands == Some(ReplayState::Paused) => Step::Nothing,
        (DesiredState::Paused, false) => Step::Tell(ReplayState::Paused),
        (DesiredState::Cancelled, true) => Step::Cancel,
        (DesiredState::Cancelled, false) => Step::Tell(ReplayState::Cancelled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_brought_to_what_is_desired() {
        use DesiredState as D;
        use ReplayState as R;
        let table = [
            (D::Running, None, false, Step::Start),
            (D::Running, Some(R::Running), false, Step::Start),
            (D::Running, Some(R::Paused), false, Step::Start),
            (D::Running, Some(R::Running), true, Step::Nothing),
            (D::Paused, None, false, Step::Tell(R::Paused)),
            (D::Paused, Some(R::Running), true, Step::Pause),
            (D::Paused, Some(R::Running), false, Step::Tell(R::Paused)),
            (D::Paused, Some(R::Paused), false, Step::Nothing),
            (D::Cancelled, Some(R::Running), true, Step::Cancel),
            (D::Cancelled, Some(R::Paused), false, Step::Tell(R::Cancelled)),
            (D::Cancelled, None, false, Step::Tell(R::Cancelled)),
        ];
        for (desired, stands, at_work, step) in table {
            assert_eq!(next_step(desired, stands, at_work), step, "{desired:?} {stands:?} {at_work}");
        }
        for desired in [D::Running, D::Paused, D::Cancelled] {
            for stands in [R::Done, R::Cancelled, R::Failed] {
                assert_eq!(next_step(desired, Some(stands), false), Step::Nothing, "what has ended has ended");
            }
        }
    }
}
