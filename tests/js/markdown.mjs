// Parses texts as the example's page does. Reads {shapes, length} on stdin; prints for each shape
// the CPU seconds of a text of that length, and of one twice as long; the shape is repeated to fill
// it. Each is the least of three. And the addresses of the links of one more text.
import { json } from 'node:stream/consumers';
import { parser } from '../../example_app/static/markdown.js';

const { shapes, length, links } = await json(process.stdin);

function cost(shape, size) {
  const text = shape.repeat(Math.ceil(size / shape.length)).slice(0, size);
  const costs = [1, 2, 3].map(() => {
    const before = process.cpuUsage();
    parser.parse(text, {});
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  });
  return Math.min(...costs);
}

const plain = 'word *and* word http://example.com/a\n\n';
cost(plain, length); // compiled by now
const costs = {};
for (const [name, shape] of Object.entries({ plain, ...shapes })) {
  costs[name] = [cost(shape, length), cost(shape, 2 * length)];
}
const found = parser.parse(links, {}).flatMap(({ children }) => children ?? [])
  .filter(({ type }) => type === 'link_open').map((token) => token.attrGet('href'));
process.stdout.write(JSON.stringify({ costs, links: found }));
