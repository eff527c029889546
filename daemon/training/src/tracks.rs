//! Series of any cadence → bins on a grid, as the model is fed.

use argus_tft::train::Track;
use argus_trace::Series;

/// A longer stretch without any row ends a track: a window that reaches across it would see nothing.
const LONGEST_GAP_BINS: i64 = 288;

/// Puts the rows between two times into bins: means over the bin, the newest status. `until_ms` is exclusive and bins
/// that reach past it are left out, so that nothing from there on shows.
pub fn tracks(series: &Series, step_secs: u32, from_ms: i64, until_ms: i64) -> Vec<Track> {
    let step_ms = i64::from(step_secs) * 1_000;
    let until_ms = until_ms.div_euclid(step_ms).saturating_mul(step_ms);
    let first = series.times_ms.partition_point(|time| *time < from_ms);
    let end = series.times_ms.partition_point(|time| *time < until_ms);
    let bin_of = |row: usize| series.times_ms[row].div_euclid(step_ms);
    let rows: Vec<usize> = (first..end).collect();
    let stretches =
        rows.chunk_by(|earlier, later| bin_of(*later) - bin_of(*earlier) <= LONGEST_GAP_BINS);
    stretches.map(|rows| track(series, step_ms, rows)).collect()
}

/// One track from rows that lie close enough together; there is at least one.
fn track(series: &Series, step_ms: i64, rows: &[usize]) -> Track {
    let first_bin = series.times_ms[rows[0]].div_euclid(step_ms);
    let place = |row: usize| (series.times_ms[row].div_euclid(step_ms) - first_bin) as usize;
    let bins = place(rows[rows.len() - 1]) + 1;
    let mut status = vec![0; bins];
    for row in rows {
        if series.status[*row] != 0 {
            status[place(*row)] = series.status[*row];
        }
    }
    let values = (series.values.iter())
        .map(|column| {
            let mut sums = vec![(0.0_f64, 0_u32); bins];
            for row in rows.iter().filter(|row| !column[**row].is_nan()) {
                let (sum, count) = &mut sums[place(*row)];
                *sum += f64::from(column[*row]);
                *count += 1;
            }
            // 0 / 0 is NaN, which is how a missing bin is held.
            sums.into_iter()
                .map(|(sum, count)| (sum / f64::from(count)) as f32)
                .collect()
        })
        .collect();
    Track {
        profile: series.profile.clone().unwrap_or_default(),
        first_bin_ms: first_bin * step_ms,
        values,
        status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_bins_and_long_gaps_split() {
        let series = Series {
            name: "a".to_owned(),
            profile: None,
            cores: None,
            times_ms: vec![
                0,
                60_000,
                900_000,
                900_000 + 400 * 300_000,
                900_000 + 401 * 300_000,
            ],
            values: vec![vec![1.0, 3.0, f32::NAN, 5.0, 7.0]],
            status: vec![2, 3, 0, 0, 1],
        };
        let all = tracks(&series, 300, i64::MIN, i64::MAX);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].values[0][0], 2.0);
        assert!(all[0].values[0][1..].iter().all(|value| value.is_nan()));
        assert_eq!(all[0].status, [3, 0, 0, 0]);
        assert_eq!(
            (all[1].first_bin_ms, &all[1].values[0]),
            (900_000 + 400 * 300_000, &vec![5.0, 7.0])
        );

        // A bin that the cut runs through is left out.
        let early = tracks(&series, 300, 0, 1_000_000);
        assert_eq!((early.len(), early[0].len()), (1, 1));
    }
}
