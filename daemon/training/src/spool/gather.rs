//! Groups of rows → bins, server by server.

use super::Making;
use super::scatter::{Group, Scatter, Server, decode, key, row_bytes};
use super::writer::SpoolWriter;
use crate::TrainingError;

/// Parts that a group is cut into when it does not fit.
const PARTS: u64 = 16;

/// Takes all groups, one after the other.
///
/// # Errors
/// When the disk refuses, or one server has more rows within one bin than fit into memory.
pub(super) fn gather(
    scatter: Scatter<'_>,
    writer: &mut SpoolWriter<'_>,
    making: &Making<'_>,
) -> Result<(), TrainingError> {
    let (groups, servers) = (scatter.groups, scatter.servers);
    let mut binning = Binning {
        making,
        servers: &servers,
        writer,
        open: None,
        values: vec![0.0; making.schema.metrics.len()],
        name: 0,
    };
    for group in groups {
        binning.take(group)?;
    }
    binning.close()
}

struct Binning<'a, 'w, 's> {
    making: &'a Making<'a>,
    servers: &'a [Server],
    writer: &'w mut SpoolWriter<'s>,
    /// The bin that rows are being added to.
    open: Option<OpenBin>,
    values: Vec<f32>,
    /// Number of the next file.
    name: u64,
}

struct OpenBin {
    server: u32,
    bin: i64,
    last_time_ms: i64,
    sums: Vec<(f64, u32)>,
    status: u8,
}

impl Binning<'_, '_, '_> {
    fn take(&mut self, group: Group) -> Result<(), TrainingError> {
        // Beside the rows there are their keys.
        let row_bytes = row_bytes(self.making.schema.metrics.len());
        if group.bytes() * 3 / 2 <= self.making.memory_bytes as u64 {
            let rows = group.into_rows()?;
            return self.bin(&rows, row_bytes);
        }
        let (mut servers, mut times) = (None::<(u32, u32)>, (i64::MAX, i64::MIN));
        group.each(row_bytes, |row| {
            let (server, time_ms) = key(row);
            let (least, most) = servers.unwrap_or((server, server));
            servers = Some((least.min(server), most.max(server)));
            times = (times.0.min(time_ms), times.1.max(time_ms));
            Ok(())
        })?;
        let (least, most) = servers.unwrap_or_default();
        let step_ms = i64::from(self.making.step_secs) * 1_000;
        let bins = (times.0.div_euclid(step_ms), times.1.div_euclid(step_ms));
        if least < most {
            let span = u64::from(most - least) + 1;
            return self.split(group, |server, _| u64::from(server - least) * PARTS / span);
        }
        if bins.0 == bins.1 {
            return Err(TrainingError::TooDense {
                server: self.servers[least as usize].name.as_ref().to_owned(),
                rows: group.bytes() / row_bytes as u64,
                step_secs: self.making.step_secs,
            });
        }
        let span = bins.1.abs_diff(bins.0) + 1;
        self.split(group, |_, time_ms| {
            let since = time_ms.div_euclid(step_ms).abs_diff(bins.0);
            (u128::from(since) * u128::from(PARTS) / u128::from(span)) as u64
        })
    }

    /// Cuts a group into parts that follow each other by server or by time, and takes each.
    fn split(&mut self, group: Group, part: impl Fn(u32, i64) -> u64) -> Result<(), TrainingError> {
        let mut parts: Vec<Group> = (0..PARTS).map(|_| Group::default()).collect();
        let first_name = self.name;
        self.name += PARTS;
        let dir = self.writer.dir().to_owned();
        let most = self.making.memory_bytes / 2 / PARTS as usize;
        let path = |number: usize| dir.join(format!("part-{}", first_name + number as u64));
        group.each(row_bytes(self.making.schema.metrics.len()), |row| {
            let (server, time_ms) = key(row);
            let number = part(server, time_ms) as usize;
            parts[number].push(row);
            if parts[number].buffered() > most {
                parts[number].spill(&path(number))?;
            }
            Ok(())
        })?;
        group.remove()?;
        for (number, part) in parts.iter_mut().enumerate() {
            part.spill(&path(number))?;
        }
        parts.into_iter().try_for_each(|part| self.take(part))
    }

    fn bin(&mut self, rows: &[u8], row_bytes: usize) -> Result<(), TrainingError> {
        let row = |index: u32| &rows[index as usize * row_bytes..][..row_bytes];
        let mut order: Vec<(u32, i64, u32)> = (rows.chunks_exact(row_bytes).zip(0..))
            .map(|(row, index)| {
                let (server, time_ms) = key(row);
                (server, time_ms, index)
            })
            .collect();
        order.sort_unstable();
        let step_ms = i64::from(self.making.step_secs) * 1_000;
        for (server, time_ms, index) in order {
            let bin = time_ms.div_euclid(step_ms);
            match &self.open {
                Some(open) if open.server == server && open.bin == bin => {
                    // Of several rows with one time the first that was read counts.
                    if open.last_time_ms == time_ms {
                        continue;
                    }
                }
                _ => {
                    self.close()?;
                    self.open = Some(OpenBin {
                        server,
                        bin,
                        last_time_ms: time_ms,
                        sums: vec![(0.0, 0); self.values.len()],
                        status: 0,
                    });
                }
            }
            let status = decode(row(index), &mut self.values);
            if let Some(open) = &mut self.open {
                open.last_time_ms = time_ms;
                if status != 0 {
                    open.status = status;
                }
                for ((sum, count), value) in open.sums.iter_mut().zip(&self.values) {
                    if !value.is_nan() {
                        *sum += f64::from(*value);
                        *count += 1;
                    }
                }
            }
            self.writer.count_row(time_ms);
        }
        Ok(())
    }

    /// Writes the bin that is open.
    fn close(&mut self) -> Result<(), TrainingError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        // 0 / 0 is NaN, which is how a missing value is held.
        let mean = |(sum, count): &(f64, u32)| (sum / f64::from(*count)) as f32;
        let means: Vec<f32> = open.sums.iter().map(mean).collect();
        let server = &self.servers[open.server as usize];
        self.writer.bin(server, open.bin, &means, open.status)
    }
}
