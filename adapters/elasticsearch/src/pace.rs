//! At most so many documents a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A bucket that fills with documents, a tenth of a second's worth deep.
pub(crate) struct Pace {
    per_sec: f64,
    state: Mutex<(f64, Instant)>,
}

impl Pace {
    pub(crate) fn new(per_sec: u32) -> Self {
        Self {
            per_sec: per_sec.into(),
            state: Mutex::new((0.0, Instant::now())),
        }
    }

    fn filled(&self) -> std::sync::MutexGuard<'_, (f64, Instant)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let come = now.duration_since(state.1).as_secs_f64() * self.per_sec;
        *state = ((state.0 + come).min((self.per_sec / 10.0).max(1.0)), now);
        state
    }

    /// Waits until there is one.
    pub(crate) async fn wait(&self) {
        loop {
            let missing = 1.0 - self.filled().0;
            if missing <= 0.0 {
                return;
            }
            tokio::time::sleep(Duration::from_secs_f64(missing / self.per_sec)).await;
        }
    }

    /// Takes one; whether none is left.
    pub(crate) fn spend_one(&self) -> bool {
        let mut state = self.filled();
        state.0 -= 1.0;
        state.0 < 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_a_second() {
        let pace = Pace::new(50);
        let began = Instant::now();
        for _ in 0..200 {
            pace.wait().await;
            pace.spend_one();
        }
        let took = began.elapsed().as_secs_f64();
        assert!(
            (3.8..4.2).contains(&took),
            "{took} s for 200 at 50 a second"
        );
    }
}
