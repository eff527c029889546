//! What is usual for an entity.

use std::{iter, thread};

use argus_store::Context;
use argus_tft::{Model, Usual};

use crate::CONTEXT_STEPS;

/// What is usual for an entity, for a model that asks for more than its context, and the bins that say so.
#[derive(Debug, Clone, Default)]
pub struct Past {
    history: Vec<Box<[f32]>>,
    own: Option<Usual>,
}

impl Past {
    /// Of the bins up to `last_bin`. `read` gives so many bins up to one, as
    /// [`Store::context`](argus_store::Store::context) does.
    pub fn read(
        model: &Model,
        last_bin: i64,
        read: impl FnOnce(i64, u32) -> Option<Context>,
    ) -> Self {
        let steps = u32::try_from(model.config().history_steps()).unwrap_or(0);
        if steps as usize <= model.config().context_steps() {
            return Self::default();
        }
        let history = read(last_bin, steps).map_or_else(Vec::new, |read| read.values);
        let own = usual(model, history.iter().map(AsRef::as_ref));
        Self { history, own }
    }

    /// Of the context as it is.
    pub fn own(&self) -> Option<&Usual> {
        self.own.as_ref()
    }

    /// Of each of several other contexts in place of the newest bins, one series for each metric.
    pub fn usual_of(&self, model: &Model, contexts: &[Vec<&[f32]>]) -> Vec<Option<Usual>> {
        let mut edited = vec![self.own.clone(); contexts.len()];
        for (metric, history) in self.history.iter().enumerate() {
            // Variants of a window mostly share what they put in a metric's place.
            let mut known: Vec<(&[f32], Option<Usual>)> = Vec::new();
            for (context, edited) in contexts.iter().zip(edited.iter_mut().flatten()) {
                let newest = context[metric];
                let (before, own) = history.split_at(history.len().saturating_sub(newest.len()));
                if same(own, newest) {
                    continue;
                }
                let place = known.iter().position(|(seen, _)| same(seen, newest));
                let place = place.unwrap_or_else(|| {
                    let series = [before, newest].concat();
                    known.push((newest, usual(model, iter::once(series.as_slice()))));
                    known.len() - 1
                });
                edited.replace(metric, known[place].1.as_ref());
            }
        }
        edited
    }
}

fn same(a: &[f32], b: &[f32]) -> bool {
    a.iter()
        .map(|a| a.to_bits())
        .eq(b.iter().map(|b| b.to_bits()))
}

fn usual<'a>(model: &Model, history: impl Iterator<Item = &'a [f32]>) -> Option<Usual> {
    model.config().usual(&history.collect::<Vec<_>>())
}

/// Entities for which a thread of its own is worth starting.
const ENTITIES_A_THREAD: usize = 16;

/// What an entity is forecast from: its newest [`CONTEXT_STEPS`] bins, and what is usual for it.
#[derive(Debug, Clone)]
pub struct Known<E> {
    /// Whose.
    pub entity: E,
    /// The newest bins.
    pub context: Context,
    /// See [`Past`].
    pub usual: Option<Usual>,
}

/// What is known of each of `due`, an entity and its newest bin, in their order, without those that `read` has nothing
/// of; `read` gives so many bins up to one. On as many threads as the model has.
pub fn known<E: Copy + Send + Sync>(
    model: &Model,
    due: &[(E, i64)],
    read: impl Fn(E, i64, u32) -> Option<Context> + Sync,
) -> Vec<Known<E>> {
    let known = |part: &[(E, i64)]| -> Vec<Known<E>> {
        let of_entity = |&(entity, last_bin): &(E, i64)| {
            Some(Known {
                entity,
                context: read(entity, last_bin, CONTEXT_STEPS)?,
                usual: Past::read(model, last_bin, |bin, steps| read(entity, bin, steps)).own,
            })
        };
        part.iter().filter_map(of_entity).collect()
    };
    let each = due.len().div_ceil(model.threads()).max(ENTITIES_A_THREAD);
    if due.len() <= each {
        return known(due);
    }
    thread::scope(|scope| {
        let known = &known;
        let handles: Vec<_> = (due.chunks(each))
            .map(|part| scope.spawn(move || known(part)))
            .collect();
        let parts = handles.into_iter().map(|handle| {
            let panicked = |panic| std::panic::resume_unwind(panic);
            handle.join().unwrap_or_else(panicked)
        });
        parts.flatten().collect()
    })
}
