//! SeFa Studio: edit the pictures of a GAN along the closed-form directions of its weights, live.
//!
//! **The picture is a pure function of (checkpoint, [`edit::Edit`]).** Undo, project files, export, render requests, the
//! command line and the tests all use that one value.
//!
//! ```text
//!  file --checkpoint--> Value tree --layout--> Weights --generator--> Generator + ModelInfo
//!                                                                        |
//!  Edit --latent--> one code per layer --render (stage cache)--> Picture [1,C,H,W] --screen--> texture (stays on the GPU)
//!                                                                        |                '--> Pixels (CPU, export)
//!  Generator --style rows--> sefa --> Basis --> DirectionSet (sliders)   |
//!                                                                        |
//!  ui  --Job-->  worker (the one thread that owns tensors)  --Event-->  ui
//!  cli --------> render, export (same engine, no thread)
//! ```
//!
//! From a slider to a picture: the slider writes its value into the document's [`edit::Edit`]. At the end of the frame
//! `ui::exchange` compares that edit with the one that each view (`ui::views`) last asked for, and sends [`worker::Job::Render`]
//! with the open model and the view. [`worker::Queue`] drops the view's older edit and says that this one is next; the thread
//! asks [`render::Engine::render_view`] for it, which runs the stages whose input changed. The answer,
//! [`worker::EventKind::Rendered`], carries the id of that job: the view takes it if it still waits for it, and shows its frame.
//! Whatever else runs is a [`tasks::Task`]: its steps are done while no view waits, and end between two stages when one does.
//!
//! Dependencies point one way: `main -> cli, ui -> worker -> tasks -> export, render -> generator -> layout -> checkpoint`. The table
//! in `tests/it/structure.rs` names every arrow between modules and fails with file and line on any other; what is pure
//! ([`edit`], [`recipe`], [`latent`], [`eigen`], [`sefa`], [`pca`]) lies at the bottom. egui appears only in `ui` and burn only in [`generator`], [`ops`],
//! [`render`] and [`gpu`], which is tested there too.
//!
//! A [`motion`] is edits at times, and its frames are edits between them: the player asks for them as for any other, and an export
//! renders them in a row.
//!
//! A generator is a list of stages that know which latent layers they read. Every view has a trace: what each stage made of its
//! last edit. A render goes on from the trace that agrees furthest, and tiles, which are many small pictures in one pass of the
//! network, from that of the view that they belong to. [`ops`] holds the operators where this project has its own: on the CPU one pass
//! over cache-sized strips, on GPUs tiled kernels and, in half precision, matrix units, all tested against plain tensor operations.
//!
//! A photo becomes a code in [`invert`], by gradients of the generator's own stages (`generator::Adjoint`); what directions do is measured
//! in [`analysis`], what pictures show is told by a [`predictor`]. All three work in steps, so that tasks and the command line run them.
//!
//! What stays between runs lies in [`store`]: preferences, documents as they were left, the log, each a file of its own with a
//! version; and in [`library`]: what a person knows about the directions of a model. Whatever is written anywhere goes through
//! [`files`], whole or not at all.
//!
//! Where to add things: a **family** in [`generator`], a **file layout** in [`layout`], a **container** in [`checkpoint`], a
//! **panel** in `ui`, a **subcommand** in [`cli`], **long work** in [`tasks`], a **format of series** (film, sheet) as an
//! [`export::FrameSink`], a **view** (another place that shows an edit) as a [`render::ViewId`] that asks through `ui::views`, a
//! **kind of direction** as an [`edit::Origin`] and, where such directions come in sets, a [`directions::Method`].

pub mod analysis;
pub mod checkpoint;
pub mod classes;
pub mod cli;
pub mod directions;
pub mod edit;
pub mod eigen;
pub mod export;
pub mod failure;
pub mod family;
pub mod files;
pub mod generator;
pub mod gpu;
pub mod invert;
pub mod latent;
pub mod layout;
pub mod library;
pub mod limits;
pub mod motion;
pub mod names;
pub mod ops;
pub mod pca;
pub mod perceptual;
pub mod predictor;
pub mod progress;
pub mod project;
pub mod recipe;
pub mod render;
pub mod sefa;
pub mod size;
pub mod store;
pub mod tasks;
#[cfg(feature = "gui")]
pub mod ui;
pub mod worker;
