//! A part of a drawing: a shape and the paint that fills it.

#[derive(Debug, Clone, Copy)]
pub enum Paint {
    Body,
    Shade,
    Light,
    Spot,
    Ink,
}

/// A filled path, or a line of some width where the width is not 0.
pub struct Part(pub Paint, pub u8, pub &'static str);
