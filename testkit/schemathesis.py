"""A check for Schemathesis: of well-formed requests, only these reasons may refuse one."""

import schemathesis

# What no schema can say: it depends on what is stored, or on several fields together.
REASONS = {
    "category_cycle",
    "category_not_found",
    "customer_not_found",
    "duplicate_row",
    "below_reserved",
    "idempotency_key_reused",
    "invalid_filter",  # orders have no kind, jobs have no customer
    "invalid_query",  # a text that is no query
    "invalid_url", "url_not_allowed", "unknown_event_type",  # what a schema cannot say of an endpoint
    "invalid_range",  # `from` lies after `to`
    "invalid_delta",  # it is zero, or too much for what is on hand
    "invalid_time",  # it lies in the future, or too far back
    "invalid_cursor",  # a cursor belongs to one list with its filters
    "mixed_currencies",
    "nothing_selected",
    "product_inactive",
    "product_not_found",
    "product_or_sku",
    "range_too_long",  # for this step
    "too_far_back",  # stock can be shown as it was up to 31 days ago
    "user_not_found",
    "version_mismatch",
    "warehouse_not_found",
    "weak_password",  # a common one
}

# The same, where the code says less than the sentence.
SENTENCES = {
    "give the product's SKU or its id", "give the SKU or the id, not both",
    "give `from` (a time) or `after` (a cursor)", "give `from` or `after`, and not both",
    "it means the present, so it does not go with `as_of`",
}


@schemathesis.check
def well_formed_requests_are_refused_with_a_reason(ctx, response, case):
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code not in (400, 412, 422):
        return
    if case.media_type == "text/csv":  # A schema can only say that it is text.
        return
    problem = response.json()
    codes = {error["code"] for error in problem["errors"] if error["message"] not in SENTENCES}
    if not problem["errors"]:
        codes = {problem["code"]}
    if not codes <= REASONS:
        raise AssertionError(f"A well-formed request was refused: {problem['detail']} ({', '.join(sorted(codes - REASONS))})")
