//! Why a replay ends early.

/// What can go wrong in a replay.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// A server of the trace is not usable.
    #[error("server `{server}`: {problem}")]
    Server {
        /// Its name.
        server: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// A trace could not be read, or an output not written.
    #[error(transparent)]
    Trace(#[from] argus_trace::TraceError),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] argus_forecast::ForecastError),
    /// The alert engine failed.
    #[error(transparent)]
    Alerts(#[from] argus_alerts::AlertError),
    /// The stride is no multiple of the step.
    #[error("a stride of {every_secs} s is no multiple of the step of {step_secs} s")]
    Stride {
        /// What was asked for.
        every_secs: u32,
        /// Length of a step.
        step_secs: u32,
    },
    /// Nothing to judge.
    #[error(
        "no origin lies within a server's rows and has the {needed} bins of context that a forecast needs"
    )]
    Nothing {
        /// Fewest bins of context.
        needed: u32,
    },
    /// A thread of ours ended without an answer.
    #[error("a scoring thread ended without an answer")]
    Worker,
}
