//! How a file was read where it leaves something open: a bar that says so, and a form in which it can be changed.

use std::mem::discriminant;

use egui::{Align, Align2, ComboBox, Context, Grid, Layout, ScrollArea, Ui};

use super::dialog::dialog_ui;
use super::icons::{Icon, icon_button};
use super::number::{Digits, number_box};
use super::style;
use crate::generator::ModelInfo;
use crate::recipe::{Activation, Branch, Fact, Input, Prior, Range, Recipe, Source, Step};

/// What was asked of the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarAnswer {
    Change,
    Dismiss,
}

/// True if some of what a network was read as is neither stated by the file nor told by its tensors' shapes.
pub fn is_open(info: &ModelInfo) -> bool {
    info.recipe.is_some() && info.facts.iter().any(is_inferred)
}

fn is_inferred(fact: &Fact) -> bool {
    matches!(fact.source, Source::Statistics { .. } | Source::Guess)
}

/// "Read as ...": what was inferred, the guesses last.
pub fn reading_bar_ui(ui: &mut Ui, info: &ModelInfo) -> Option<BarAnswer> {
    let inferred = info.facts.iter().filter(|fact| is_inferred(fact));
    let text: Vec<String> = inferred.map(|fact| format!("{} {} ({})", fact.what, fact.value, fact.source)).collect();
    let text = format!("Read as: {}.", text.join(", "));
    let mut answer = None;
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if icon_button(ui, Icon::Cross, "Dismiss how the file was read", "Closes this message").clicked() {
                answer = Some(BarAnswer::Dismiss);
            }
            let button =
                ui.button("Change…").on_hover_text("Shows where each part comes from, and lets you correct it");
            if button.clicked() {
                answer = Some(BarAnswer::Change);
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                ui.add(egui::Label::new(&text).truncate()).on_hover_text(&text);
            });
        });
    });
    answer
}

/// What was asked of the form.
#[derive(Clone, Debug, PartialEq)]
pub enum FormAnswer {
    /// Read the file as this.
    Read(Box<Recipe>),
    /// Read it as it was first read.
    Forget,
}

/// Shows the form while it is open. Every change is answered at once, so that the picture shows what it does.
pub fn reading_ui(ctx: &Context, open: &mut bool, info: Option<&ModelInfo>) -> Option<FormAnswer> {
    let (true, Some(info)) = (*open, info) else { return None };
    let Some(recipe) = &info.recipe else {
        *open = false;
        return None;
    };
    let mut draft = recipe.clone();
    let mut forget = false;
    *open = dialog_ui(ctx, "How the file was read", Align2::RIGHT_BOTTOM, |ui| {
        ui.set_width(460.0);
        facts_ui(ui, &info.facts);
        ui.add_space(style::GRID);
        ui.separator();
        Grid::new("reading").num_columns(2).spacing([12.0, 6.0]).show(ui, |ui| choices_ui(ui, &mut draft));
        ui.add_space(style::GRID);
        let is_own = info.facts.iter().any(|fact| fact.source == Source::User);
        let button = ui.add_enabled(is_own, egui::Button::new("Read as at first"));
        forget = button.on_hover_text("Forgets your changes of how this file is read").clicked();
    });
    match forget {
        true => Some(FormAnswer::Forget),
        false => (draft != *recipe).then(|| FormAnswer::Read(draft.into())),
    }
}

fn facts_ui(ui: &mut Ui, facts: &[Fact]) {
    ScrollArea::vertical().max_height(220.0).show(ui, |ui| {
        for fact in facts {
            ui.horizontal_wrapped(|ui| {
                ui.weak(&fact.what);
                ui.label(&fact.value);
                ui.weak(format!("· {}", fact.source));
            });
        }
    });
}

fn choices_ui(ui: &mut Ui, recipe: &mut Recipe) {
    let mut hidden = activations(&mut recipe.steps);
    // What ends the network is chosen by itself.
    let last = match recipe_ends_in_activation(&hidden) {
        true => hidden.pop(),
        false => None,
    };
    if let Some(first) = hidden.first().map(|first| (**first).clone()) {
        let mut function = first.clone();
        activation_ui(
            ui,
            "Activation",
            "Between the layers, wherever the first of them stands now",
            &HIDDEN,
            &mut function,
        );
        if function != first {
            let same = hidden.into_iter().filter(|other| discriminant(&**other) == discriminant(&first));
            same.for_each(|other| *other = function.clone());
        }
    }
    if let Some(last) = last {
        activation_ui(ui, "Output", "What the last layer goes through", &OUTPUT, last);
    }
    let ranges = [(Range::Signed, "-1..1"), (Range::Unit, "0..1"), (Range::Logits, "logits")];
    let tooltip = "What the network's numbers mean: pictures from -1 to 1, from 0 to 1, or before a sigmoid";
    choice_ui(ui, "Range", tooltip, &ranges, &mut recipe.range);
    let priors = [
        (Prior::Normal, "normal"),
        (Prior::Uniform { low: -1.0, high: 1.0 }, "uniform -1..1"),
        (Prior::Uniform { low: 0.0, high: 1.0 }, "uniform 0..1"),
        (Prior::TruncatedNormal { limit: 2.0 }, "normal within ±2"),
    ];
    choice_ui(ui, "Code", "The distribution that the codes of seeds are drawn from", &priors, &mut recipe.prior);
    if let Some(Step::Join { branches, .. }) = recipe.steps.first_mut().filter(|_| recipe.classes.is_some())
        && let [first, _] = &branches[..]
    {
        let mut class_first = first.input == Input::Class;
        let orders = [(false, "behind the code"), (true, "before the code")];
        choice_ui(ui, "Class", "Where the class is joined to the code", &orders, &mut class_first);
        if class_first != (first.input == Input::Class) {
            branches.reverse();
        }
    }
    ui.label("");
    ui.checkbox(&mut recipe.batch_statistics, "Batch statistics, as in training")
        .on_hover_text("Normalises with the statistics of a drawn batch: for files whose stored ones are spoilt");
    ui.end_row();
}

const HIDDEN: [(Activation, &str); 9] = [
    (Activation::Relu, "ReLU"),
    (Activation::LeakyRelu { slope: 0.2 }, "LeakyReLU"),
    (Activation::Elu { alpha: 1.0 }, "ELU"),
    (Activation::Selu, "SELU"),
    (Activation::Gelu { tanh: false }, "GELU"),
    (Activation::Silu, "SiLU"),
    (Activation::Softplus, "Softplus"),
    (Activation::Tanh, "Tanh"),
    (Activation::None, "none"),
];
const OUTPUT: [(Activation, &str); 3] =
    [(Activation::Tanh, "Tanh"), (Activation::Sigmoid, "Sigmoid"), (Activation::None, "none")];

/// Activations in the order in which they are met, those of residual branches among them; not those of what is joined to z.
fn activations(steps: &mut [Step]) -> Vec<&mut Activation> {
    let mut found = Vec::new();
    for step in steps {
        match step {
            Step::Activation { function } => found.push(function),
            Step::Join { branches, .. } => {
                let branches = branches.iter_mut().filter(|branch| branch.input == Input::Flow);
                found.extend(branches.flat_map(|Branch { steps, .. }| activations(steps)));
            }
            _ => {}
        }
    }
    found
}

/// True if the last activation is one that networks end with.
fn recipe_ends_in_activation(found: &[&mut Activation]) -> bool {
    found.last().is_some_and(|last| OUTPUT.iter().any(|(output, _)| output == &**last))
}

fn activation_ui(ui: &mut Ui, label: &str, tooltip: &str, kinds: &[(Activation, &str)], function: &mut Activation) {
    let name = |function: &Activation| {
        let known = kinds.iter().find(|(kind, _)| discriminant(kind) == discriminant(function));
        known.map_or_else(|| format!("{function:?}"), |(_, name)| (*name).to_owned())
    };
    let text = ui.label(label).on_hover_text(tooltip).id;
    ui.horizontal(|ui| {
        let list = ComboBox::from_id_salt(label).selected_text(name(function)).width(150.0);
        let shown = list.show_ui(ui, |ui| {
            for (kind, name) in kinds {
                let on = discriminant(kind) == discriminant(function);
                if ui.selectable_label(on, *name).clicked() && !on {
                    *function = kind.clone();
                }
            }
        });
        shown.response.labelled_by(text).on_hover_text(tooltip);
        if let Activation::LeakyRelu { slope } = function {
            ui.weak("slope");
            let mut typed = *slope;
            let digits = Digits::AtMost(3);
            let field = number_box(ui, &mut typed, 0.01, digits, "Slope of the activation");
            if field.changed() {
                *slope = typed.clamp(0.0, 1.0);
            }
            field.on_hover_text("What negative numbers are multiplied with");
        }
    });
    ui.end_row();
}

fn choice_ui<T: PartialEq + Copy>(ui: &mut Ui, label: &str, tooltip: &str, choices: &[(T, &str)], value: &mut T) {
    let text = ui.label(label).on_hover_text(tooltip).id;
    let name = choices.iter().find(|(choice, _)| choice == value).map_or("as read", |(_, name)| name);
    let list = ComboBox::from_id_salt(label).selected_text(name).width(150.0);
    let shown = list.show_ui(ui, |ui| {
        for (choice, name) in choices {
            ui.selectable_value(value, *choice, *name);
        }
    });
    shown.response.labelled_by(text).on_hover_text(tooltip);
    ui.end_row();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activation(function: Activation) -> Step {
        Step::Activation { function }
    }

    #[test]
    fn the_output_is_not_among_the_activations_between_layers() {
        let branch = vec![activation(Activation::Relu)];
        let mut steps =
            vec![activation(Activation::Relu), Step::residual(branch, vec![]), activation(Activation::Tanh)];
        let found = activations(&mut steps);
        assert_eq!(found.len(), 3);
        assert!(recipe_ends_in_activation(&found));
        let mut bare = vec![activation(Activation::Relu)];
        assert!(!recipe_ends_in_activation(&activations(&mut bare)));
    }

    #[test]
    fn activations_of_what_is_joined_to_the_code_stay_as_they_are() {
        let class = vec![activation(Activation::Relu)];
        let mut steps = vec![Step::with_class(crate::recipe::Joining::Concat, class, false)];
        assert!(activations(&mut steps).is_empty());
    }
}
