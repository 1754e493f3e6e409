//! Jobs about money, run one by one.

mod expire;
mod pay;
mod refund;
