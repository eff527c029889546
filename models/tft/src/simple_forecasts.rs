//! Forecasts that a few inputs of the direct path ([`crate::direct_inputs`]) are already: what the network weighs.

/// Number of simple forecasts.
pub(crate) const SIMPLE_FORECASTS: usize = 16;

/// A forecast that is a sum of inputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Simple {
    /// Input of the step that it is, if it differs from step to step.
    pub(crate) step: Option<usize>,
    /// Input of the window that is added.
    pub(crate) plus: Option<usize>,
    /// Input of the window that is taken away.
    pub(crate) minus: Option<usize>,
}

/// What a metric may simply go on doing: stay where it is, do as a day ago or as usual, or as usual on today's level.
pub(crate) const SIMPLE: [Simple; SIMPLE_FORECASTS] = {
    const fn of(step: Option<usize>, plus: Option<usize>, minus: Option<usize>) -> Simple {
        Simple { step, plus, minus }
    }
    [
        // The centre of the window, its newest level.
        of(None, None, None),
        // The newest value, and means of the newest hours and of all of the context.
        of(None, Some(0), None),
        of(None, Some(3), None),
        of(None, Some(5), None),
        // A day ago, alone and around.
        of(Some(0), None, None),
        of(Some(1), None, None),
        // As on the days that were most like the newest one, as they were, and on today's level.
        of(Some(16), None, None),
        of(Some(17), None, None),
        of(Some(18), None, None),
        // As usual, as lately, as a week ago.
        of(Some(7), None, None),
        of(Some(12), None, None),
        of(Some(9), None, None),
        // As usual, and as far from it as the last one and three hours were; as lately, and as far from what is usual as
        // the last three; as many times the usual as in the last three.
        of(Some(7), Some(2), Some(17)),
        of(Some(7), Some(3), Some(18)),
        of(Some(12), Some(3), Some(18)),
        of(Some(15), None, None),
    ]
};
