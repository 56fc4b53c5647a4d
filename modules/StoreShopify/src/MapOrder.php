<?php

declare(strict_types=1);

namespace Modules\StoreShopify;

/** From Shopify's order payload to what Orders prices. */
final class MapOrder
{
    /** Whether the body was signed with the store's secret (X-Shopify-Hmac-Sha256). */
    public static function isSigned(string $body, string $signature, string $secret): bool
    {
        return hash_equals(base64_encode(hash_hmac('sha256', $body, $secret, true)), $signature);
    }

    /**
     * @param array{name: string, line_items: list<array{sku: ?string, quantity: int}>} $payload
     * @return array{id: string, lines: list<array{sku: string, quantity: int}>}
     */
    public static function map(array $payload): array
    {
        $lines = [];
        foreach ($payload['line_items'] as $item) {
            if (($item['sku'] ?? '') === '') {
                throw new \DomainException("order {$payload['name']} has a line without SKU");
            }
            // Shopify lists one product twice when its custom options differ; our lines are by SKU.
            $lines[$item['sku']] = ($lines[$item['sku']] ?? 0) + $item['quantity'];
        }
        return [
            'id' => 'shopify-' . ltrim($payload['name'], '#'),
            'lines' => array_map(
                static fn (string $sku, int $quantity): array => ['sku' => $sku, 'quantity' => $quantity],
                array_map('strval', array_keys($lines)),
                array_values($lines),
            ),
        ];
    }
}
