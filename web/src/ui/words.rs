//! What Millrace's own names mean to people.

/// Why an order was cancelled. Millrace has names of its own; people write their reasons.
pub fn reason(reason: &str) -> &str {
    match reason {
        "payment_declined" => "the bank declined the payment",
        "payment_failed" => "the payment failed",
        "payment_voided" => "the payment was called off",
        "reservation_expired" => "it was not paid in time",
        other => other,
    }
}
