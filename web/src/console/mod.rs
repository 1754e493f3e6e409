//! The screens of the console, a file each: what it shows as a struct, and the markup.

pub mod activity;
pub mod frame;
pub mod jobs;
pub mod order;
pub mod orders;
pub mod overview;
pub mod queues;
pub mod signin;
pub mod workers;
