//! What is done with the player: it opens, follows the document, and goes.

use std::sync::Arc;

use egui::{Context, Ui};

use super::app::App;
use super::command::Command;
use super::dialogs::Ask;
use super::looks::Look;
use super::player::{Player, Scene};
use crate::edit::Direction;
use crate::failure::Failure;
use crate::render::ViewId;

impl App {
    /// What the player would be made of; nothing without a model.
    fn scene<T>(&self, with: impl FnOnce(&Scene<'_>) -> T) -> Option<T> {
        let model = self.model.as_ref()?;
        let edit = &self.document.edit;
        let active = edit.moves.iter().filter(|step| step.is_active());
        let farthest = active.max_by(|a, b| a.value.abs().total_cmp(&b.value.abs())).map(|step| &step.direction);
        let strongest = || model.directions.set.as_ref().and_then(|set| set.directions.first());
        let direction: Option<&Arc<Direction>> = farthest.or_else(strongest);
        let known = direction.and_then(|direction| self.document.known(direction).range);
        Some(with(&Scene {
            edit,
            shelf: &self.document.shelf,
            direction,
            range: known.unwrap_or(model.info.slider_range),
            side: model.info.size.width.max(model.info.size.height),
        }))
    }

    /// Opens the player and runs it; plays on or halts if it is open.
    pub(super) fn play(&mut self, ctx: &Context) {
        let now = ctx.input(|input| input.time);
        self.open_player();
        if let Some(player) = &mut self.player {
            player.toggle(now);
        }
    }

    fn open_player(&mut self) {
        if self.player.is_none() {
            self.player = self.scene(Player::new);
            self.looks.look = Look::Picture;
        }
    }

    /// The bar under the picture.
    pub(super) fn player_ui(&mut self, ui: &mut Ui, commands: &mut Vec<Command>) {
        let Some(player) = &mut self.player else { return };
        if player.show(ui, &mut self.document.shelf, commands) {
            self.player = None;
        }
    }

    /// Once a frame, after everything else: the player goes on, or gives way to an edit that was changed.
    pub(super) fn follow_player(&mut self, ctx: &Context, now: f64) {
        let Some(mut player) = self.player.take() else { return };
        if self.scene(|scene| player.follow(scene)) != Some(true) {
            return;
        }
        if let Some(wait) = player.advance(now, !self.views.is_awaited(ViewId::PICTURE)) {
            ctx.request_repaint_after_secs(wait as f32);
        }
        self.player = Some(player);
    }

    /// Asks where the motion is to go.
    pub(super) fn ask_for_film(&mut self, ask: Ask, ctx: &Context) {
        self.open_player();
        match self.player.as_ref().map(Player::film) {
            Some(Ok(film)) => {
                self.overlays.film = Some(film);
                self.ask(ask, ctx);
            }
            Some(Err(error)) => self.notices.failure = Some(Failure::of(&error)),
            None => {}
        }
    }
}
