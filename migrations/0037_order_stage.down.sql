alter table orders drop column stage;
