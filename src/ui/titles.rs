//! What an edit is called that nobody named.

use crate::edit::{Code, Edit, Kept, Move, Sample};

/// "seed 17 · 1 style · 2 moves"
pub fn edit_title(edit: &Edit) -> String {
    let styles = counted(edit.sample.active_styles().count(), "style");
    let moves = counted(edit.moves.iter().filter(|step| Move::is_active(step)).count(), "move");
    let parts = [Some(sample_title(&edit.sample)), styles, moves];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// "seed 17", "photo me.jpg"
pub fn sample_title(sample: &Sample) -> String {
    sample.photo().map_or_else(|| code_title(&sample.code), |photo| format!("photo {}", photo.name))
}

/// "seed 17"
pub fn code_title(code: &Code) -> String {
    match code {
        Code::Seed(seed) => format!("seed {}", seed.number),
        _ => "code from file".to_owned(),
    }
}

/// "Kept 3, smile"
pub fn kept_title(at: usize, kept: &Kept) -> String {
    format!("Kept {}, {}", at + 1, name_of(kept))
}

/// The name of a kept edit, or what it is called without one.
pub fn name_of(kept: &Kept) -> String {
    if kept.name.is_empty() { edit_title(&kept.edit) } else { kept.name.clone() }
}

/// "2 moves"; nothing of none.
fn counted(count: usize, what: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        count => Some(format!("{count} {what}s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::edit::{Crop, LayerSet, PhotoNote, Seed, Style};

    #[test]
    fn an_edit_is_called_by_its_seed_and_what_was_done_to_it() {
        let code = |seed| Code::Seed(Seed::studio(seed));
        let style = |seed| Style::new(LayerSet::range(0, 1), code(seed));
        let muted = Style { enabled: false, ..style(3) };
        let mut edit = Edit { sample: Sample { code: code(17), ..Sample::default() }, ..Edit::default() };
        assert_eq!(edit_title(&edit), "seed 17");
        edit.sample.styles = vec![style(1), muted, style(2)];
        assert_eq!(edit_title(&edit), "seed 17 · 2 styles");
        edit.sample = Sample { code: Code::Z(vec![0.0]), styles: vec![style(1)], ..Sample::default() };
        assert_eq!(edit_title(&edit), "code from file · 1 style");
        let crop = Crop { centre: [1.0, 1.0], width: 2.0, turn: 0.0 };
        edit.sample.photo = Some(Arc::new(PhotoNote { name: "me.jpg".into(), crop, picture: Vec::new() }));
        assert_eq!(edit_title(&edit), "photo me.jpg · 1 style");
        edit.sample.code = code(5);
        assert_eq!(edit_title(&edit), "seed 5 · 1 style");
    }
}
