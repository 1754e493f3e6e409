// Places an order, follows it, and tells its customer what happens next.

import type { components, operations, paths } from "../types/api.js";

type Schemas = components["schemas"];
type Order = Schemas["OrderView"];

// An enum that is closed needs no default: a state that is added is an error here.
const words: Record<Order["status"], string> = {
  pending: "We have your order.",
  processing: "We are charging you.",
  paid: "We are packing it.",
  shipped: "It is on its way.",
  delivered: "It has arrived.",
  cancelling: "It is being cancelled.",
  cancelled: "It was cancelled.",
};

export function tell(order: Order): string {
  const tracking = order.shipments.map((shipment) => shipment.tracking_number ?? "not yet booked");
  const paid = order.payment === null || order.payment === undefined ? "unpaid" : money(order.payment.amount);
  const next = order.next_action?.by === "staff" ? "A person looks at it." : "";
  return [words[order.status], paid, ...tracking, next].join(" ");
}

function money({ amount, currency }: Schemas["Money"]): string {
  return `${(amount / 100).toFixed(2)} ${currency}`;
}

export const placed: operations["orders_place"]["requestBody"]["content"]["application/json"] = {
  items: [{ sku: "MUG-STONE-350", quantity: 2 }],
  payment_token: "tok_ok",
  shipping_address: { name: "Alice", line1: "1 Mill Lane", city: "Bath", country: "GB" },
};

type ListOrders = paths["/v1/orders"]["get"];
export const filter: NonNullable<ListOrders["parameters"]["query"]> = { status: "paid", limit: 100 };

export async function* orders(
  page: (cursor: string | undefined) => Promise<ListOrders["responses"][200]["content"]["application/json"]>,
): AsyncGenerator<Order> {
  let cursor: string | undefined;
  do {
    const { data, next_cursor } = await page(cursor);
    yield* data;
    cursor = next_cursor ?? undefined;
  } while (cursor !== undefined);
}

// Each error that an operation documents is a problem with a code.
type Refusals = operations["orders_place"]["responses"];
export function advice(problem: Refusals[409]["content"]["application/problem+json"]): string {
  return problem.code === "insufficient_stock" ? `Order less: ${problem.detail}` : problem.detail;
}

// @ts-expect-error There is no such state.
export const wrong: Order["status"] = "lost";
