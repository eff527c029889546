//! The typical window of a profile: what explanations compare a subject with.
//!
//! Per metric and hour of the day (UTC), the median of the bins that the newest forecasts of the profile's entities were
//! made from; between the middles of two hours it is interpolated. A profile of fewer than [`MIN_ENTITIES`] entities
//! takes all entities of the fleet instead, and a fleet of fewer takes one median per metric for all hours: the hours of
//! a few servers say more of these servers than of what is usual. At most [`MAX_ENTITIES`] entities are looked at,
//! spread evenly over the names. A metric that nobody sends stays missing.
//!
//! The subject is one of the entities. A median takes no notice of the few that are in trouble.

use std::collections::HashMap;
use std::sync::Arc;

use argus_fleet::{EntityState, Fleet};
use argus_forecast::CONTEXT_STEPS;
use argus_store::{Context, Store};

/// Fewer entities than this make no background.
pub const MIN_ENTITIES: usize = 5;
/// More entities than this do not make a better one.
pub const MAX_ENTITIES: usize = 64;

const HOURS: usize = 24;
const HOUR_MS: i64 = 3_600_000;

/// Whom a background was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Entities of the subject's profile, by hour of the day.
    Profile,
    /// All entities, by hour of the day.
    Fleet,
    /// All entities of a very small fleet, the same for all hours.
    FewEntities,
}

/// A background.
#[derive(Debug, Clone, PartialEq)]
pub struct Typical {
    /// `[metric][hour]`, NaN where nobody sends the metric.
    hours: Vec<[f32; HOURS]>,
}

impl Typical {
    /// Of contexts whose bins are `step_ms` long.
    pub fn new(contexts: &[Context], metrics: usize, step_ms: i64, by_hour: bool) -> Self {
        let mut values = Vec::new();
        let hours = (0..metrics).map(|metric| {
            let mut gather = |wanted: Option<usize>| {
                values.clear();
                for context in contexts {
                    let bins = (context.first_bin..).zip(context.values[metric].iter());
                    let of_hour =
                        bins.filter(|(bin, _)| wanted.is_none_or(|h| h == hour_of(*bin, step_ms)));
                    values.extend(of_hour.map(|(_, value)| *value).filter(|v| !v.is_nan()));
                }
                median(&mut values)
            };
            let overall = gather(None).unwrap_or(f32::NAN);
            let mut of_hours = [overall; HOURS];
            if by_hour && !overall.is_nan() {
                for (hour, typical) in of_hours.iter_mut().enumerate() {
                    *typical = gather(Some(hour)).unwrap_or(overall);
                }
            }
            of_hours
        });
        Self {
            hours: hours.collect(),
        }
    }

    /// The typical values over the bins of a context: `metrics × steps`, metric by metric. A metric that the context
    /// lacks altogether is missing here too: what a server never sends explains nothing about it.
    pub fn over(&self, context: &Context, step_ms: i64) -> Vec<f32> {
        let at = |hours: &[f32; HOURS], bin: i64| {
            // From the middle of one hour to the middle of the next.
            let since = (bin * step_ms - HOUR_MS / 2).rem_euclid(HOURS as i64 * HOUR_MS);
            let before = usize::try_from(since / HOUR_MS).unwrap_or(0) % HOURS;
            let share = (since % HOUR_MS) as f32 / HOUR_MS as f32;
            let (a, b) = (hours[before], hours[(before + 1) % HOURS]);
            a + (b - a) * share
        };
        let bins = context.first_bin..=context.last_bin;
        let series = self.hours.iter().zip(&context.values);
        let values = series.flat_map(|(hours, own)| {
            let sent = own.iter().any(|value| !value.is_nan());
            let value = move |bin| if sent { at(hours, bin) } else { f32::NAN };
            bins.clone().map(value)
        });
        values.collect()
    }
}

fn hour_of(bin: i64, step_ms: i64) -> usize {
    usize::try_from((bin * step_ms).div_euclid(HOUR_MS).rem_euclid(HOURS as i64)).unwrap_or(0)
}

/// The middle value, the lower of two.
fn median(values: &mut [f32]) -> Option<f32> {
    let middle = values.len().checked_sub(1)? / 2;
    let (_, median, _) = values.select_nth_unstable_by(middle, f32::total_cmp);
    Some(*median)
}

/// Backgrounds of the present forecasts, made when they are first asked for.
#[derive(Debug, Default)]
pub struct Backgrounds {
    /// Newest origin and number of forecasts: another of either makes all of them stale.
    made_for: (i64, usize),
    of_profile: HashMap<u8, (Source, Arc<Typical>)>,
}

impl Backgrounds {
    /// The background of a profile. Blocking: milliseconds when forecasts are new.
    pub fn of(
        &mut self,
        fleet: &Fleet,
        store: &Store,
        profile: u8,
        metrics: usize,
    ) -> (Source, Arc<Typical>) {
        let origins = || fleet.entities.values().filter_map(|s| s.forecast.as_ref());
        let newest = origins().map(|f| f.origin_ms).max().unwrap_or(i64::MIN);
        let made_for = (newest, origins().count());
        if self.made_for != made_for {
            *self = Self {
                made_for,
                ..Self::default()
            };
        }
        let made = self.of_profile.entry(profile).or_insert_with(|| {
            let (source, chosen) = choose(fleet, profile);
            let step_ms = i64::from(fleet.step_secs) * 1000;
            let context = |state: &&EntityState| {
                let bin = state.forecast.as_ref()?.origin_ms.div_euclid(step_ms);
                store.context(&state.name, bin, CONTEXT_STEPS)
            };
            let contexts: Vec<Context> = chosen.iter().filter_map(context).collect();
            let by_hour = source != Source::FewEntities;
            let typical = Typical::new(&contexts, metrics, step_ms, by_hour);
            (source, Arc::new(typical))
        });
        (made.0, Arc::clone(&made.1))
    }
}

/// Whom to make a profile's background of.
fn choose(fleet: &Fleet, profile: u8) -> (Source, Vec<&EntityState>) {
    let forecast = fleet.entities.values().filter(|s| s.forecast.is_some());
    let all: Vec<&EntityState> = forecast.map(AsRef::as_ref).collect();
    let own = all.iter().filter(|state| state.profile == profile);
    let own: Vec<&EntityState> = own.copied().collect();
    let (source, of) = if own.len() >= MIN_ENTITIES {
        (Source::Profile, own)
    } else if all.len() >= MIN_ENTITIES {
        (Source::Fleet, all)
    } else {
        (Source::FewEntities, all)
    };
    let kept = of.len().min(MAX_ENTITIES);
    let spread = (0..kept).map(|place| of[place * of.len() / kept]);
    (source, spread.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP_MS: i64 = 300_000;
    const DAY_BINS: i64 = 288;

    /// A day of one metric.
    fn day(value: impl Fn(i64) -> f32) -> Context {
        Context {
            first_bin: 0,
            last_bin: DAY_BINS - 1,
            values: vec![(0..DAY_BINS).map(value).collect()],
            status: vec![0; DAY_BINS as usize].into(),
        }
    }

    #[test]
    fn an_hour_is_the_median_over_entities_and_hours_join_smoothly() {
        // Two follow the clock, one is in trouble all day.
        let by_clock = |shift: f32| day(move |bin| (bin / 12) as f32 * 10.0 + shift);
        let contexts = [by_clock(0.0), by_clock(0.0), day(|_| 1000.0)];
        let typical = Typical::new(&contexts, 1, STEP_MS, true);
        let over = typical.over(&contexts[0], STEP_MS);
        // The middle of 05:00 to 06:00 and the full hour, half-way between 50 and 60.
        assert_eq!((over[5 * 12 + 6], over[6 * 12]), (50.0, 55.0));
        // Midnight lies between the last hour and the first.
        assert_eq!(over[0], 115.0);
    }

    #[test]
    fn few_entities_have_one_value_and_what_nobody_sends_stays_missing() {
        let mut context = day(|bin| bin as f32);
        context
            .values
            .push(vec![f32::NAN; DAY_BINS as usize].into());
        let typical = Typical::new(std::slice::from_ref(&context), 2, STEP_MS, false);
        let over = typical.over(&context, STEP_MS);
        let (first, second) = over.split_at(DAY_BINS as usize);
        assert!(first.iter().all(|value| *value == 143.0));
        assert!(second.iter().all(|value| value.is_nan()));
        // What the subject does not send is not typical of it, whoever else sends it.
        context.values[0].fill(f32::NAN);
        assert!(typical.over(&context, STEP_MS).iter().all(|v| v.is_nan()));
    }

    #[test]
    fn an_hour_without_data_is_as_the_others() {
        let context = day(|bin| if bin < 144 { 7.0 } else { f32::NAN });
        let typical = Typical::new(std::slice::from_ref(&context), 1, STEP_MS, true);
        assert!(typical.over(&context, STEP_MS).iter().all(|v| *v == 7.0));
    }
}
