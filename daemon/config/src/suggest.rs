//! "Did you mean": the closest of the known words.

/// The candidate that is most like `word`, if any is close enough to be a slip of the hand.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    // A third of the letters may differ: `lisen` finds `listen`, `foo` does not find `dir`.
    let tolerance = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::osa_distance(&word, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|&(distance, _)| distance <= tolerance)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// A sentence that offers the closest candidate, or else lists all.
pub(crate) fn offer<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    match closest(word, candidates.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => {
            let known: Vec<String> = candidates.into_iter().map(|c| format!("`{c}`")).collect();
            if known.is_empty() {
                String::new()
            } else {
                format!("known here: {}", known.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{closest, offer};

    #[test]
    fn finds_slips_and_nothing_else() {
        let keys = ["listen", "cors_origins", "max_records"];
        assert_eq!(closest("lisen", keys), Some("listen"));
        assert_eq!(closest("Listen", keys), Some("listen"));
        assert_eq!(closest("max_record", keys), Some("max_records"));
        assert_eq!(closest("port", keys), None);
        assert_eq!(
            offer("port", keys),
            "known here: `listen`, `cors_origins`, `max_records`"
        );
    }
}
