//! The payment jobs, run one by one.

mod expire;
mod pay;
mod refund;
