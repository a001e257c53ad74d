// What every page does: its clocks and ages go on, its commands ask before and say what came of it.

import { tick } from "./times.js";
import "./commands.js";

tick();
setInterval(tick, 1000);
