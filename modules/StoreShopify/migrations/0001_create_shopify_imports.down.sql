drop table shopify_imports;
