import express from "express";
import { readFileSync } from "node:fs";

const page = readFileSync(new URL("page.html", import.meta.url), "utf8")
  .replace("{deployment}", process.env.DEVFLOW_DEPLOYMENT ?? "–")
  .replace("{version}", process.versions.node);

const app = express();
app.get("/", (request, response) => response.type("html").send(page));
app.get("/healthz", (request, response) => response.json({ status: "ok" }));

const port = Number(process.env.PORT ?? 3000);
const server = app.listen(port, () => console.log(`Listening on port ${port}`));
process.on("SIGTERM", () => server.close());
