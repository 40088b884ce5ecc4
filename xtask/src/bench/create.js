// Makes 30,000 files of 2 KB in 3,000 directories, sixteen at a time, as an
// installer of packages does.
const { mkdir, writeFile } = require("node:fs/promises");
const root = process.argv[2];
const text = "x".repeat(2048);
let next = 0;
async function worker() {
  while (next < 30000) {
    const number = next++;
    const directory = `${root}/p${Math.floor(number / 100)}/d${Math.floor(number / 10)}`;
    await mkdir(directory, { recursive: true });
    await writeFile(`${directory}/f${number}.js`, text);
  }
}
Promise.all(Array.from({ length: 16 }, worker));
