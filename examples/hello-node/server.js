import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const template = readFileSync(new URL("page.html", import.meta.url), "utf8");
const page = template
  .replace("{deployment}", process.env.DEVFLOW_DEPLOYMENT ?? "–")
  .replace("{version}", process.versions.node);

const server = createServer((request, response) => {
  if (request.url === "/healthz") {
    response.writeHead(200, { "content-type": "application/json" }).end('{"status":"ok"}');
  } else if (request.url === "/") {
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page);
  } else {
    response.writeHead(404, { "content-type": "text/plain" }).end("Not found\n");
  }
});

const port = Number(process.env.PORT ?? 3000);
server.listen(port, () => console.log(`Listening on port ${port}`));
process.on("SIGTERM", () => server.close());
