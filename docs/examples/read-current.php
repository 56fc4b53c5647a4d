<?php
// php read-current.php ROOT: what a root serves now. `current` is resolved once; all that follows
// reads below that one directory, so that a switch meanwhile changes nothing.
$root = $argv[1];
clearstatcache(true, "$root/current"); // A worker that lives on would get the generation before.
$generation = realpath("$root/current") or exit("$root serves nothing yet\n");
$read = fn (string $name): array => json_decode(
    file_get_contents("$generation/.ringlock/$name.json"), true, flags: JSON_THROW_ON_ERROR);
$facts = $read('generation');
echo "{$facts['ring']}: generation {$facts['generation']} of commit {$facts['commit']}\n";
foreach ($read('lock')['modules'] as $alias => $pin) {
    $path = realpath("$generation/" . ($pin['directory'] ?? $alias));
    echo "$alias {$pin['version']} $path\n";
}
