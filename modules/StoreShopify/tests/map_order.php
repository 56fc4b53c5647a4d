<?php

declare(strict_types=1);

require __DIR__ . '/../src/MapOrder.php';

use Modules\StoreShopify\MapOrder;

function check(bool $holds, string $what): void
{
    if (!$holds) {
        fwrite(STDERR, "failed: $what\n");
        exit(1);
    }
}

$order = MapOrder::map(['name' => '#1001', 'line_items' => [
    ['sku' => 'MUG-BLUE', 'quantity' => 2],
    ['sku' => 'GIFT-WRAP', 'quantity' => 1],
    ['sku' => 'MUG-BLUE', 'quantity' => 4],
]]);
check($order === ['id' => 'shopify-1001', 'lines' => [
    ['sku' => 'MUG-BLUE', 'quantity' => 6],
    ['sku' => 'GIFT-WRAP', 'quantity' => 1],
]], 'lines of one SKU become one');
$signature = base64_encode(hash_hmac('sha256', '{}', 'secret', true));
check(MapOrder::isSigned('{}', $signature, 'secret'), 'a right signature');
check(!MapOrder::isSigned('{ }', $signature, 'secret'), 'a changed body');
echo "3 passed\n";
