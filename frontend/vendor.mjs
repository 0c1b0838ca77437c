// Copies the one library that browsers load as it is published; everything else is our own.
import { copyFileSync, readFileSync } from "node:fs"

const from = new URL("./node_modules/htmx.org/", import.meta.url)
copyFileSync(new URL("dist/htmx.min.js", from), new URL("../static/vendor/htmx.min.js", import.meta.url))
copyFileSync(new URL("LICENSE", from), new URL("../static/vendor/htmx.LICENSE", import.meta.url))
console.log("htmx", JSON.parse(readFileSync(new URL("package.json", from))).version)
