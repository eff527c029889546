//! When the daemon would have forecast: the newest closed bin at each stroke of the stride.

use crate::bins::ServerBins;

/// One forecast to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stroke {
    /// Position of the origin in the server's bins.
    pub origin: usize,
    /// When the daemon would make it: ms since the epoch; nothing after it is known.
    pub at_ms: i64,
}

/// Strokes at every multiple of `every_steps` steps since the epoch, each from the newest bin with data that has ended
/// by then; a bin is forecast from once.
pub fn strided(server: &ServerBins, every_steps: i64, step_ms: i64) -> Vec<Stroke> {
    let end = server.first_bin + i64::try_from(server.len()).unwrap_or(0);
    let mut strokes = Vec::new();
    // The stroke at the end of bin `b` happens at the start of bin `b + 1`.
    let mut stroke = (server.first_bin / every_steps + 1) * every_steps;
    let mut from = 0;
    while stroke < end + every_steps {
        let to = server.position(stroke - 1).unwrap_or(0);
        if let Some(origin) = server.last_with_data(from, to) {
            strokes.push(Stroke {
                origin,
                at_ms: stroke * step_ms,
            });
            from = origin + 1;
        }
        stroke += every_steps;
    }
    strokes
}

/// Strokes at the end of listed origins (bins), in order, each once; what lies outside the server's bins is left out.
/// Also tells how many were.
pub fn listed(server: &ServerBins, bins: &[i64], step_ms: i64) -> (Vec<Stroke>, usize) {
    let mut bins = bins.to_vec();
    bins.sort_unstable();
    bins.dedup();
    let stroke = |bin: &i64| {
        let origin = server
            .position(*bin)
            .filter(|origin| *origin < server.len())?;
        Some(Stroke {
            origin,
            at_ms: (bin + 1) * step_ms,
        })
    };
    let strokes: Vec<Stroke> = bins.iter().filter_map(stroke).collect();
    let outside = bins.len() - strokes.len();
    (strokes, outside)
}
