//! Input edits, checked once and applied to context after context.

use argus_fleet::{EditAction, InputEdit};
use argus_schema::Schema;

/// Longest reach of an edit into the past, in steps.
const MAX_REACH: i32 = 100_000;

/// Edits that fit a schema.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edits {
    checked: Vec<Checked>,
}

#[derive(Debug, Clone, PartialEq)]
struct Checked {
    column: usize,
    /// Legal range of the metric.
    range: (f32, f32),
    edit: InputEdit,
}

/// Why edits cannot be applied.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("edit {index} of `{metric}` {problem}")]
pub struct EditError {
    /// Position in the list, from 0.
    pub index: usize,
    /// The metric it names.
    pub metric: String,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

impl Edits {
    /// Checks edits against a schema. They are applied in the order given.
    ///
    /// # Errors
    /// When one names an unknown metric, an empty span or one that reaches past the origin, a number that is none, a
    /// value outside the metric's range, or a list of another length than its span.
    pub fn new(edits: &[InputEdit], schema: &Schema) -> Result<Self, EditError> {
        let check = |(index, edit): (usize, &InputEdit)| {
            check(edit, schema).map_err(|problem| EditError {
                index,
                metric: edit.metric.clone(),
                problem,
            })
        };
        let checked = edits.iter().enumerate().map(check);
        Ok(Self {
            checked: checked.collect::<Result<_, _>>()?,
        })
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.checked.is_empty()
    }

    /// Edits a context: `values[column]` ends with the origin's bin. What addition and scaling push out of a metric's
    /// legal range is cut off at its end.
    pub fn apply(&self, values: &mut [Vec<f32>]) {
        for Checked {
            column,
            range,
            edit,
        } in &self.checked
        {
            let Some(series) = values.get_mut(*column) else {
                continue;
            };
            let newest = i64::try_from(series.len()).unwrap_or(i64::MAX) - 1;
            for (place, step) in (edit.from_step..=edit.to_step).enumerate() {
                let bin = usize::try_from(newest + i64::from(step));
                let Some(value) = bin.ok().and_then(|bin| series.get_mut(bin)) else {
                    continue;
                };
                // NaN passes through both: adding to what was not observed observes nothing.
                *value = match &edit.action {
                    EditAction::Mask => f32::NAN,
                    EditAction::Set(set) => *set,
                    EditAction::Add(more) => (*value + more).clamp(range.0, range.1),
                    EditAction::Scale(factor) => (*value * factor).clamp(range.0, range.1),
                    EditAction::Replace(list) => {
                        list.get(place).copied().flatten().unwrap_or(f32::NAN)
                    }
                };
            }
        }
    }
}

fn check(edit: &InputEdit, schema: &Schema) -> Result<Checked, String> {
    let column = schema.metric_index(&edit.metric).ok_or_else(|| {
        let known: Vec<&str> = schema.metrics.iter().map(|m| m.name.as_str()).collect();
        format!("names no metric; there are: {}", known.join(", "))
    })?;
    let metric = &schema.metrics[column];
    let (from, to) = (edit.from_step, edit.to_step);
    if from > to || to > 0 || from < -MAX_REACH {
        return Err(format!(
            "covers the steps {from} to {to}; wanted is -{MAX_REACH} <= from_step <= to_step <= 0, where 0 is the origin"
        ));
    }
    let legal = |value: f32| match metric.stored(f64::from(value)) {
        Some(_) => Ok(()),
        None => Err(format!(
            "has the value {value}, which is outside the metric's range"
        )),
    };
    let finite = |value: f32| match value.is_finite() {
        true => Ok(()),
        false => Err(format!("has the value {value}, which is no finite number")),
    };
    match &edit.action {
        EditAction::Mask => {}
        EditAction::Set(value) => legal(*value)?,
        EditAction::Add(value) | EditAction::Scale(value) => finite(*value)?,
        EditAction::Replace(list) => {
            let steps = i64::from(to) - i64::from(from) + 1;
            if i64::try_from(list.len()) != Ok(steps) {
                let found = list.len();
                return Err(format!("replaces {steps} steps by {found} values"));
            }
            list.iter().flatten().try_for_each(|value| legal(*value))?;
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "ranges are small numbers")]
    let limit = |limit: Option<f64>, otherwise: f32| limit.map_or(otherwise, |limit| limit as f32);
    Ok(Checked {
        column,
        range: (limit(metric.min, f32::MIN), limit(metric.max, f32::MAX)),
        edit: edit.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(metric: &str, from_step: i32, to_step: i32, action: EditAction) -> InputEdit {
        InputEdit {
            metric: metric.to_owned(),
            from_step,
            to_step,
            action,
        }
    }

    #[test]
    fn spans_count_back_from_the_origin() {
        let nan = f32::NAN;
        let check = |from, to, action: EditAction, expected: [f32; 4]| {
            let edits = [edit("cpu_user_pct", from, to, action)];
            let edits = Edits::new(&edits, &Schema::server()).expect("sound edits");
            let mut values = vec![vec![10.0, nan, 30.0, 40.0]; 14];
            edits.apply(&mut values);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&values[0]), bits(&expected));
            assert_eq!(bits(&values[1]), bits(&[10.0, nan, 30.0, 40.0]));
        };
        check(0, 0, EditAction::Set(5.0), [10.0, nan, 30.0, 5.0]);
        check(-2, -1, EditAction::Set(5.0), [10.0, 5.0, 5.0, 40.0]);
        check(-288, 0, EditAction::Mask, [nan; 4]);
        check(-3, -1, EditAction::Add(-20.0), [0.0, nan, 10.0, 40.0]);
        check(-3, 0, EditAction::Scale(3.0), [30.0, nan, 90.0, 100.0]);
        let list = vec![Some(1.0), None, Some(3.0)];
        check(-2, 0, EditAction::Replace(list), [10.0, 1.0, nan, 3.0]);
    }

    #[test]
    fn nonsense_is_named() {
        let cases = [
            (
                edit("cpu", 0, 0, EditAction::Mask),
                "there are: cpu_user_pct",
            ),
            (
                edit("cpu_user_pct", 0, -1, EditAction::Mask),
                "from_step <= to_step",
            ),
            (edit("cpu_user_pct", 0, 1, EditAction::Mask), "<= 0"),
            (
                edit("cpu_user_pct", 0, 0, EditAction::Set(101.0)),
                "outside",
            ),
            (
                edit("cpu_user_pct", 0, 0, EditAction::Set(f32::NAN)),
                "outside",
            ),
            (
                edit("cpu_user_pct", 0, 0, EditAction::Scale(f32::INFINITY)),
                "finite",
            ),
            (
                edit("cpu_user_pct", -1, 0, EditAction::Replace(vec![None])),
                "2 steps by 1",
            ),
        ];
        for (edit, told) in cases {
            let error = Edits::new(&[edit], &Schema::server()).expect_err(told);
            assert!(error.to_string().contains(told), "{error}");
        }
    }

    #[test]
    fn the_json_is_the_documented_one() {
        let text = r#"[{"metric":"mem_used_pct","from_step":-287,"to_step":0,"action":"mask"},
            {"metric":"cpu_user_pct","from_step":-1,"to_step":0,"action":{"replace":[1.5,null]}}]"#;
        let edits: Vec<InputEdit> = serde_json::from_str(text).expect("the documented form");
        assert_eq!(edits[0], edit("mem_used_pct", -287, 0, EditAction::Mask));
        let list = EditAction::Replace(vec![Some(1.5), None]);
        assert_eq!(edits[1], edit("cpu_user_pct", -1, 0, list));
    }
}
