// Uses openapi-fetch with the types that openapi-typescript generates from the OpenAPI document.
import createClient from "openapi-fetch";
import type { components, paths } from "./client.d.ts";

type ApiError = components["schemas"]["Error"];

const variable = (name: string): string => process.env[name] ?? "";
const propertyId = variable("PROPERTY_ID");
const expected: string[] = JSON.parse(variable("TICKET_IDS"));
const api = createClient<paths, "application/json">({
  baseUrl: variable("BASE_URL"),
  headers: { Authorization: `Bearer ${variable("API_KEY")}` },
});
let ticketId = "";

async function listByPage(): Promise<void> {
  const found: string[] = [];
  for (let page = 1, pages = 1; page <= pages; page++) {
    const query = { page, per_page: 2, property_id: [propertyId] };
    const { data, error } = await api.GET("/v1/tickets", { params: { query } });
    if (!data) throw unexpected(error);
    pages = data.meta.pagination.total_pages ?? 0;
    found.push(...data.data.map((ticket) => ticket.id));
  }
  require(found.sort().join() === expected.join(), found);
}

async function listByCursor(): Promise<void> {
  const found: string[] = [];
  for (let cursor: string | null | undefined = ""; cursor != null; ) {
    const { data, error } = await api.GET("/v1/tickets", {
      params: { query: { cursor, per_page: 2, property_id: [propertyId], status: ["open", "in_progress"] } },
    });
    if (!data) throw unexpected(error);
    found.push(...data.data.map((ticket) => ticket.id));
    const pagination: components["schemas"]["Pagination"] = data.meta.pagination;
    cursor = pagination.next_cursor;
    require((pagination.links.next === undefined) === (cursor === null), pagination);
  }
  require(found.sort().join() === expected.join(), found);
}

async function create(): Promise<void> {
  const body = { title: "Leak in TypeScript", property_id: propertyId, priority: "high" as const };
  const { data, error } = await api.POST("/v1/tickets", { body });
  if (!data) throw unexpected(error);
  const ticket = data.data;
  ticketId = ticket.id;
  require(ticket.priority === "high" && ticket.category === "general" && ticket.assigned_to === null, ticket);
}

async function change(): Promise<void> {
  const params = { path: { ticket_id: ticketId } };
  const assigned = await api.PATCH("/v1/tickets/{ticket_id}", {
    params,
    body: { status: "in_progress", assigned_to: variable("ASSIGNEE_ID") },
  });
  require(assigned.data?.data.assigned_to?.id === variable("ASSIGNEE_ID"), assigned);
  const cleared = await api.PATCH("/v1/tickets/{ticket_id}", { params, body: { assigned_to: null } });
  require(cleared.data?.data.status === "in_progress" && cleared.data.data.assigned_to === null, cleared);
}

async function comment(): Promise<void> {
  const params = { path: { ticket_id: ticketId } };
  const added = await api.POST("/v1/tickets/{ticket_id}/comments", { params, body: { text: "On my way" } });
  if (!added.data) throw unexpected(added.error);
  const listed = await api.GET("/v1/tickets/{ticket_id}/comments", { params });
  if (!listed.data) throw unexpected(listed.error);
  const [first] = listed.data.data;
  require(first?.id === added.data.data.id && first.visibility === "public", listed.data);
}

async function upload(): Promise<void> {
  const { data, error } = await api.POST("/v1/tickets/{ticket_id}/attachments", {
    params: { path: { ticket_id: ticketId } },
    body: { file: "a photograph" },
    bodySerializer: (body) => {
      const form = new FormData();
      form.set("file", new Blob([body.file]), "leak.txt");
      return form;
    },
  });
  if (!data) throw unexpected(error);
  require(data.data.filename === "leak.txt" && data.data.size === 12, data);
}

async function webhook(): Promise<void> {
  const { data, error } = await api.POST("/v1/webhooks", {
    body: { url: variable("WEBHOOK_URL"), events: ["ticket.created"] },
  });
  if (!data) throw unexpected(error);
  const params = { path: { webhook_id: data.data.id } };
  const rotated = await api.POST("/v1/webhooks/{webhook_id}/rotate", { params, body: {} });
  require(Boolean(rotated.data?.data.secret) && rotated.data?.data.secret !== data.data.secret, rotated);
  const deleted = await api.DELETE("/v1/webhooks/{webhook_id}", { params });
  require(deleted.data?.status === "success", deleted);
}

async function refused(): Promise<void> {
  const { error, response } = await api.POST("/v1/tickets", {
    body: { title: "Leak", property_id: "no-such-property" },
  });
  const body: ApiError | undefined = error;
  require(response.status === 422 && body?.error.code === "validation_error", error);
  require(body?.error.details["property_id"]?.length === 1, error);
}

async function receive(): Promise<void> {
  const post: components["schemas"]["TicketCreatedV1"] = JSON.parse(variable("WEBHOOK_BODY"));
  require(post.event === "ticket.created" && post.data.title === "Leak" && !post.data.assigned_to, post);
}

function require(holds: boolean | undefined, value: unknown): void {
  if (!holds) throw unexpected(value);
}

function unexpected(value: unknown): Error {
  return new Error(`unexpected value: ${JSON.stringify(value)}`);
}

const operations: [string, () => Promise<void>][] = [
  ["list by page", listByPage],
  ["list by cursor", listByCursor],
  ["create", create],
  ["change", change],
  ["comment", comment],
  ["upload", upload],
  ["webhook", webhook],
  ["422", refused],
  ["receive", receive],
];
for (const [operation, use] of operations) {
  try {
    await use();
    console.log(`ok: ${operation}`);
  } catch (error) {
    console.log(`failed: ${operation}: ${error}`);
  }
}
