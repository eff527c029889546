//! The published state of each entity: current values, newest forecast, risk.

use std::collections::BTreeMap;
use std::sync::Arc;

use argus_fleet::{EntityForecast, EntityState, Fleet, ForecastState, Risk};
use argus_schema::{EntityName, ProfileRules, Schema};
use argus_store::EntityView;

use crate::MIN_CONTEXT_BINS;
use crate::run::LoopParts;
use crate::slot::LoadedModel;

/// Profile of an entity: what its records say, else what its name says.
pub fn profile_of(view: &EntityView, rules: &ProfileRules, schema: &Schema) -> u8 {
    view.profile
        .unwrap_or_else(|| rules.profile_of(view.name.as_str(), schema))
}

/// States of all `views`; unchanged ones are shared with the publication `before`.
pub fn states<'a>(
    parts: &LoopParts,
    step_secs: u32,
    views: &[EntityView],
    before: &Fleet,
    model: Option<&LoadedModel>,
    forecast_of: impl Fn(&EntityName) -> Option<&'a Arc<EntityForecast>>,
) -> BTreeMap<EntityName, Arc<EntityState>> {
    let step_ms = i64::from(step_secs) * 1000;
    views
        .iter()
        .map(|view| {
            // Forecasts of a model that is gone are not shown: without a model there is no prediction.
            let forecast = forecast_of(&view.name).filter(|_| model.is_some());
            let mut state = EntityState {
                name: view.name.clone(),
                profile: profile_of(view, &parts.profiles, &parts.schema),
                cores: view.cores,
                closed_bins: view.closed_bins,
                newest_bin_ms: view.newest_bin * step_ms,
                current: view.latest.clone(),
                state: forecast_state(view, forecast.is_some()),
                forecast: forecast.map(Arc::clone),
                risk: None,
            };
            if let Some(old) = before.entities.get(&view.name)
                && same_but_risk(old, &state)
            {
                return (view.name.clone(), Arc::clone(old));
            }
            // Without a metric that has a threshold nothing was judged, which is not the same as fine.
            state.risk = forecast
                .zip(model)
                .map(|(forecast, model)| Arc::new(risk(parts, model, &state, forecast)))
                .filter(|risk| risk.assessed != 0);
            (view.name.clone(), Arc::new(state))
        })
        .collect()
}

fn risk(
    parts: &LoopParts,
    model: &LoadedModel,
    state: &EntityState,
    forecast: &EntityForecast,
) -> Risk {
    let subject = argus_risk::Subject {
        schema: &parts.schema,
        rules: &parts.thresholds,
        calibration: &model.calibration,
        profile: state.profile,
        cores: state.cores,
        name: &state.name,
        current: &state.current,
        hidden: &[],
    };
    subject.assess(forecast)
}

fn forecast_state(view: &EntityView, has_forecast: bool) -> ForecastState {
    if has_forecast {
        ForecastState::Ready
    } else if view.closed_bins < MIN_CONTEXT_BINS {
        ForecastState::WarmingUp
    } else {
        ForecastState::Pending
    }
}

fn same_but_risk(old: &EntityState, new: &EntityState) -> bool {
    let same_forecast = match (&old.forecast, &new.forecast) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    };
    let same_values = old
        .current
        .iter()
        .zip(&new.current)
        .all(|(a, b)| a.to_bits() == b.to_bits());
    same_forecast
        && same_values
        && old.state == new.state
        && old.closed_bins == new.closed_bins
        && old.newest_bin_ms == new.newest_bin_ms
        && old.profile == new.profile
        && old.cores == new.cores
}
