// Queries go to this page's own address, where the cookie of the console counts.
const ask = async ({ query, variables, operationName }) => {
  const response = await fetch("/console/graphiql", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query, variables, operationName }),
  });
  if (response.redirected) return failed("You are no longer signed in. Reload this page.");
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  return isJson ? response.json() : failed(`The server answered with status ${response.status}.`);
};
const failed = (message) => ({ errors: [{ message }] });

const example = `# Queries are answered as in POST /v1/graphql, with your own rights.
# Ctrl-Enter runs the query. Ctrl-Space completes a name. "extensions.cost" says what it cost.
{
  orders(first: 5) {
    edges {
      node {
        number
        status
        total { amount }
      }
    }
  }
}
`;

const { createElement } = React;
const back = createElement("a", { href: "/console", className: "back" }, "Console");
const graphiql = createElement(
  GraphiQL,
  { fetcher: ask, defaultQuery: example, isHeadersEditorEnabled: false },
  createElement(GraphiQL.Logo, {}, back),
);
ReactDOM.createRoot(document.getElementById("graphiql")).render(graphiql);
